import assert from "node:assert/strict";
import test from "node:test";

import { clip, noisy, uniform } from "../noise.js";

const COUNT = 100_000;

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

test("the same seed gives the same noise, another seed other noise", () => {
  const clean = new Float32Array(100).fill(0.5);
  assert.deepEqual(noisy(clean, 0.3, 7), noisy(clean, 0.3, 7));
  assert.notDeepEqual(noisy(clean, 0.3, 7), noisy(clean, 0.3, 8));
});

test("a sigma of 0 leaves the values as they are", () => {
  const clean = Float32Array.from({ length: 101 }, (_, i) => i / 100);
  assert.deepEqual(noisy(clean, 0, 1), clean);
});

test("the noise is normal with mean 0 and standard deviation sigma", () => {
  const noise = noisy(new Float32Array(COUNT).fill(0.5), 0.05, 3).map((value) => (value - 0.5) / 0.05);
  assert.ok(Math.abs(mean(noise)) < 0.02);
  assert.ok(Math.abs(mean(noise.map((value) => value ** 2)) - 1) < 0.02);
  assert.ok(Math.abs(mean(noise.map((value) => value ** 4)) - 3) < 0.15);
  assert.ok(Math.abs(mean(noise.slice(1).map((value, i) => value * noise[i]))) < 0.02); // neighbours
});

test("what leaves the range from black to white is clipped", () => {
  const values = noisy(new Float32Array(COUNT), 1, 3);
  assert.ok(values.every((value) => value >= 0 && value <= 1));
  assert.ok(Math.abs(values.filter((value) => value === 0).length / COUNT - 0.5) < 0.01);
  assert.deepEqual([-2, 0.25, 2].map(clip), [0, 0.25, 1]);
});

test("uniform numbers lie in [0, 1), and fill it evenly", () => {
  const draw = uniform(2018);
  const tenths = new Array(10).fill(0);
  for (let i = 0; i < COUNT; i++) tenths[Math.floor(10 * draw())] += 1; // outside would make NaN of an eleventh
  assert.equal(tenths.length, 10);
  assert.ok(tenths.every((count) => Math.abs(count / COUNT - 0.1) < 0.005));
});
