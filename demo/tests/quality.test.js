import assert from "node:assert/strict";
import test from "node:test";

import { psnr } from "../quality.js";

test("a mean squared error of 0.01 is 20 dB", () => {
  assert.ok(Math.abs(psnr(Float32Array.of(0.1, 0.6, 0.9), Float32Array.of(0.2, 0.5, 1)) - 20) < 1e-5);
});

test("identical images have 100 dB", () => {
  assert.equal(psnr(Float32Array.of(0.5, 1), Float32Array.of(0.5, 1)), 100);
});
