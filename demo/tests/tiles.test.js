import assert from "node:assert/strict";
import test from "node:test";

import { cuts, keep, read, tiles } from "../tiles.js";
import { uniform } from "../noise.js";

const REACH = { halo: 5, step: 4 };

function plane(height, width) {
  return Float32Array.from({ length: height * width }, uniform(1));
}

/** The mean over the pixels that lie at most `halo` rows and columns away, within the plane. */
function blurred(values, height, width, halo) {
  return values.map((_, i) => {
    let [sum, count] = [0, 0];
    for (let row = Math.floor(i / width) - halo; row <= Math.floor(i / width) + halo; row++) {
      for (let column = (i % width) - halo; column <= (i % width) + halo; column++) {
        if (row < 0 || row >= height || column < 0 || column >= width) continue;
        sum += values[row * width + column];
        count += 1;
      }
    }
    return sum / count;
  });
}

test("parts that are kept follow each other, begin at multiples of step, and read as far as the network looks", () => {
  for (const length of [1, 7, 8, 9, 40, 41]) {
    const parts = cuts(length, REACH, 7);
    assert.deepEqual(parts.map(({ begin }) => begin), parts.map((_, i) => 8 * i));
    assert.deepEqual(parts.map(({ end }) => end), [...parts.slice(1).map(({ begin }) => begin), length]);
    for (const { from, to, begin, end } of parts) {
      assert.equal(from % REACH.step, 0);
      assert.ok(from === 0 || begin - from >= REACH.halo);
      assert.ok(to === length || to - end >= REACH.halo);
    }
  }
});

test("tiles give what the whole gives", () => {
  const [height, width] = [37, 29];
  const noisy = plane(height, width);
  const restored = new Float32Array(noisy.length);
  const parts = tiles(height, width, REACH, 7);
  assert.ok(parts.length > 10);
  for (const part of parts) {
    const [down, across] = [part.rows, part.columns].map(({ from, to }) => to - from);
    keep(restored, width, part, blurred(read(noisy, width, part), down, across, REACH.halo));
  }
  assert.deepEqual(restored, blurred(noisy, height, width, REACH.halo));
});

test("a small image is one tile, and so is any whose network does not say how far it looks", () => {
  assert.equal(tiles(17, 17, REACH, 7).length, 1);
  assert.equal(tiles(17, 18, REACH, 7).length > 1, true);
  assert.equal(tiles(500, 500, null, 7).length, 1);
});
