// Noise as in training, with a seed.

/**
 * Uniform numbers in [0, 1), the same for the same seed: mulberry32 (Tommy Ettinger, public domain).
 * @param {number} seed a whole number in [0, 2^32)
 */
export function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * clip(clean + sigma * eps, 0, 1), with eps ~ N(0, 1) for each value (Box and Muller 1958).
 * Equal seeds draw equal eps, whatever sigma is; a sigma of 0 gives the values as they are.
 * @param {Float32Array} clean values in [0, 1]
 * @param {number} sigma standard deviation, in [0, 1]
 * @param {number} seed a whole number in [0, 2^32)
 * @returns {Float32Array} of the same length
 */
export function noisy(clean, sigma, seed) {
  const draw = uniform(seed);
  const values = new Float32Array(clean.length);
  for (let i = 0; i < clean.length; i += 2) {
    const radius = sigma * Math.sqrt(-2 * Math.log(1 - draw())); // 1 - draw() is never 0
    const angle = 2 * Math.PI * draw();
    values[i] = clip(clean[i] + radius * Math.cos(angle));
    if (i + 1 < clean.length) values[i + 1] = clip(clean[i + 1] + radius * Math.sin(angle));
  }
  return values;
}

/** The nearest number in [0, 1]. */
export function clip(value) {
  return Math.min(Math.max(value, 0), 1);
}
