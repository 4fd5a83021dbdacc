import assert from "node:assert/strict";
import test from "node:test";

import { groups, joined, separated } from "../channels.js";

const PLANES = [[0, 0.25], [0.5, 0.75], [1, 0.5]].map((plane) => Float32Array.from(plane));

test("a network for grey is given channels one by one, one for colour all three", () => {
  assert.deepEqual(groups(1, 1), [[0]]);
  assert.deepEqual(groups(1, 3), [[0], [1], [2]]);
  assert.deepEqual(groups(3, 3), [[0, 1, 2]]);
  assert.deepEqual(groups(3, 1), [[0, 0, 0]]);
});

test("planes that are joined are separated again", () => {
  const values = joined(PLANES);
  assert.deepEqual(Array.from(values), [0, 0.25, 0.5, 0.75, 1, 0.5]);
  assert.deepEqual([...separated(values, [0, 1, 2])], PLANES.map((plane, channel) => [channel, plane]));
  assert.deepEqual([...separated(PLANES[1], [2])], [[2, PLANES[1]]]);
});

test("of a grey image that went through a network for colour the mean comes out", () => {
  assert.deepEqual([...separated(joined(PLANES), [0, 0, 0])], [[0, Float32Array.from([0.5, 0.5])]]);
});
