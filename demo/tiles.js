// Large images in tiles that overlap by as far as the network looks: as runtime/tiles.py has it.

/**
 * The parts of an axis: what is read, and what of it is kept. The kept parts follow each other without a gap.
 * @param {number} length of the axis in pixels
 * @param {{halo: number, step: number}} reach pixels that the network looks away; tiles begin at multiples of step
 * @param {number} side pixels of a kept part
 * @returns {{from: number, to: number, begin: number, end: number}[]} read [from, to), keep [begin, end)
 */
export function cuts(length, { halo, step }, side) {
  const [overlap, kept] = [halo, side].map((pixels) => Math.ceil(pixels / step) * step);
  return Array.from({ length: Math.ceil(length / kept) }, (_, i) => {
    const [begin, end] = [i * kept, Math.min((i + 1) * kept, length)];
    return { from: Math.max(0, begin - overlap), to: Math.min(end + overlap, length), begin, end };
  });
}

/**
 * The tiles of an image; one, the whole, if it is small or if nobody knows how far the network looks.
 * @returns {{rows: object, columns: object}[]} pairs of what `cuts` gives
 */
export function tiles(height, width, reach, side) {
  const whole = (length) => [{ from: 0, to: length, begin: 0, end: length }];
  const isSmall = reach === null || Math.max(height, width) <= side + 2 * reach.halo;
  const parts = (length) => (isSmall ? whole(length) : cuts(length, reach, side));
  return parts(height).flatMap((rows) => parts(width).map((columns) => ({ rows, columns })));
}

/** What a tile reads of a plane [height, width]: a new plane. */
export function read(plane, width, { rows, columns }) {
  const across = columns.to - columns.from;
  const part = new Float32Array((rows.to - rows.from) * across);
  for (let row = rows.from; row < rows.to; row++) {
    part.set(plane.subarray(row * width + columns.from, row * width + columns.to), (row - rows.from) * across);
  }
  return part;
}

/** Write what is kept of a restored tile into a plane [height, width]. */
export function keep(plane, width, { rows, columns }, part) {
  const across = columns.to - columns.from;
  for (let row = rows.begin; row < rows.end; row++) {
    const start = (row - rows.from) * across - columns.from;
    plane.set(part.subarray(start + columns.begin, start + columns.end), row * width + columns.begin);
  }
}
