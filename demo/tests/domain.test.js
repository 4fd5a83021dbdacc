import assert from "node:assert/strict";
import test from "node:test";

import { finding, sentence, statistics } from "../domain.js";

const NAMES = ["noisy_mean", "restored_mean", "restored_grey", "restored_edges", "removed_across", "removed_down"];
const IDENTITY = NAMES.map((_, i) => NAMES.map((_, j) => Number(i === j)));

/** A profile of two bins; the second expects all statistics in [0.4, 0.6]. */
function profile(changed = {}) {
  const [low, mean, high] = [0.4, 0.5, 0.6].map((value) => NAMES.map(() => value));
  const second = { mean, precision: IDENTITY, limit: 0.01, low, high, ...changed };
  const first = { ...second, mean: NAMES.map(() => 0) };
  return { statistics: NAMES, noise_edges: [0.2], bins: [first, second], threshold: 1 };
}

function found(changed = {}) {
  return { ...Object.fromEntries(NAMES.map((name) => [name, 0.5])), rms: 0.3, ...changed };
}

function close(value, expected) {
  assert.ok(Math.abs(value - expected) < 1e-6, `${value}, but ${expected} is expected`);
}

test("statistics of two channels of 2 x 3 pixels, by hand", () => {
  const noisy = Float32Array.of(1, 0, 0.5, 0, 1, 0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5);
  const restored = Float32Array.of(0.5, 0, 0.5, 0, 1, 0, 0.5, 0.5, 0.5, 0.5, 0.5, 0);
  const values = statistics(noisy, restored, { channels: 2, height: 2, width: 3 });
  close(values.noisy_mean, 5.5 / 12);
  close(values.restored_mean, 4.5 / 12);
  close(values.restored_grey, Math.sqrt((4.5 - 2.75) / 12));
  // Across: 0.25, 0.25, 1, 1 and 0.25; down: 0.25, 1, 0.25 and 0.25.
  close(values.restored_edges, Math.sqrt(4.5 / 12));
  close(values.removed_across, 0);
  close(values.removed_down, 0);
  close(values.rms, Math.sqrt(0.5 / 12));
});

test("neighbours across and down are told apart, and rows and channels do not run into each other", () => {
  const rows = statistics(Float32Array.of(1, 1, 0, 0), new Float32Array(4), { channels: 1, height: 2, width: 2 });
  assert.deepEqual([rows.removed_across, rows.removed_down], [0.25, 0]);
  const columns = statistics(Float32Array.of(1, 0, 1, 0), new Float32Array(4), { channels: 1, height: 2, width: 2 });
  assert.deepEqual([columns.removed_across, columns.removed_down], [0, 0.25]);
  const ends = statistics(Float32Array.of(0, 1, 1, 0), new Float32Array(4), { channels: 2, height: 1, width: 2 });
  assert.deepEqual([ends.removed_across, ends.removed_down], [0, 0]);
});

test("an image like those of the training gives no finding", () => {
  assert.equal(finding(profile(), found()), null);
  assert.equal(finding(profile(), found({ noisy_mean: 0.59 })), null);
});

test("the finding is the statistic furthest outside, in units of what is expected", () => {
  const high = profile({ high: [0.6, 0.6, 0.6, 0.6, 0.6, 0.51] });
  const unusual = finding(high, found({ noisy_mean: 0.8, removed_down: 0.65 }));
  assert.equal(unusual.name, "removed_down"); // 0.14 of 0.11 outside, and 0.2 of 0.2
  assert.deepEqual([unusual.found, unusual.low, unusual.high], [0.65, 0.4, 0.51]);
  assert.equal(finding(profile(), found({ restored_edges: 0.1 })).name, "restored_edges");
});

test("the bin is that of the root mean square of what was removed", () => {
  assert.notEqual(finding(profile(), found({ rms: 0.19 })), null); // whose mean is 0
  assert.equal(finding(profile(), found({ rms: 0.2 })), null);
});

test("precision is a matrix: statistics that go together in another way are unusual", () => {
  const precision = IDENTITY.map((row) => [...row]);
  [precision[0][1], precision[1][0]] = [-0.99, -0.99];
  const together = profile({ precision });
  assert.equal(finding(together, found({ noisy_mean: 0.58, restored_mean: 0.58 })), null);
  const unusual = finding(together, found({ noisy_mean: 0.58, restored_mean: 0.42 }));
  assert.ok(unusual.outside < 0);
  assert.match(sentence(unusual, true), /each of its statistics is usual, but not all of them together\.$/);
});

test("a finding in words", () => {
  const given = { low: 0.0512, high: 0.309, outside: 1 };
  const said = (name, value, isOfStrokes = true) => sentence({ name, found: value, ...given }, isOfStrokes);
  const beginning = "This does not look like the images that the model was trained for: ";
  assert.equal(
    said("noisy_mean", 0.8234),
    `${beginning}brightness of the noisy image 0.82, 0.051 to 0.31 expected. Dark strokes on a light ground? Try invert.`,
  );
  assert.doesNotMatch(said("noisy_mean", 0.8234, false), /strokes/);
  assert.equal(said("noisy_mean", 0.01), `${beginning}brightness of the noisy image 0.01, 0.051 to 0.31 expected.`);
  for (const name of NAMES) assert.doesNotMatch(said(name, 0.9), /undefined|NaN/);
});
