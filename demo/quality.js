// How far a restored image is from the clean one: as core/metrics.py has it.

const CAP_DB = 100; // of identical images

/**
 * Peak signal-to-noise ratio 10 log10(1 / mean squared error) in decibels, over all values; at most 100.
 * @param {Float32Array} values in [0, 1]
 * @param {Float32Array} clean of the same length
 */
export function psnr(values, clean) {
  const error = values.reduce((sum, value, i) => sum + (value - clean[i]) ** 2, 0) / values.length;
  return Math.min(-10 * Math.log10(error), CAP_DB);
}
