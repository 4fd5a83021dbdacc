// Whether an image looks like those that the model was trained for: its statistics against the model's profile.

const WORDS = {
  noisy_mean: "brightness of the noisy image",
  restored_mean: "brightness of the restored image",
  restored_grey: "greyness of the restored image",
  restored_edges: "edges in the restored image",
  removed_across: "covariance across of what was removed",
  removed_down: "covariance down of what was removed",
};

/**
 * The statistics of an image by their names, and `rms`, the root mean square of what was removed.
 * @param {Float32Array} noisy [channels, height, width] in [0, 1]
 * @param {Float32Array} restored the same
 */
export function statistics(noisy, restored, { channels, height, width }) {
  const count = channels * height * width;
  const sums = { noisy: 0, restored: 0, squares: 0, edges: 0, removed: 0, across: 0, down: 0 };
  for (let i = 0; i < count; i++) {
    const [value, removed] = [restored[i], noisy[i] - restored[i]];
    sums.noisy += noisy[i];
    sums.restored += value;
    sums.squares += value * value;
    sums.removed += removed * removed;
    if (i % width < width - 1) {
      sums.edges += (restored[i + 1] - value) ** 2;
      sums.across += (noisy[i + 1] - restored[i + 1]) * removed;
    }
    if (Math.floor(i / width) % height < height - 1) {
      sums.edges += (restored[i + width] - value) ** 2;
      sums.down += (noisy[i + width] - restored[i + width]) * removed;
    }
  }
  return {
    noisy_mean: sums.noisy / count,
    restored_mean: sums.restored / count,
    restored_grey: Math.sqrt(Math.max(0, (sums.restored - sums.squares) / count)),
    restored_edges: Math.sqrt(sums.edges / count),
    removed_across: sums.across / count,
    removed_down: sums.down / count,
    rms: Math.sqrt(sums.removed / count),
  };
}

/**
 * What is unusual in an image, or null if it looks like those of the training.
 * @param {object} profile of the model, as models.json has it
 * @param {object} found what `statistics` gives
 * @returns {null | {name: string, found: number, low: number, high: number, outside: number}} the statistic that lies
 *   furthest outside of the expected range, in units of that range; `outside` is negative if none lies outside
 */
export function finding(profile, found) {
  const bin = profile.bins[profile.noise_edges.filter((edge) => edge <= found.rms).length];
  const values = profile.statistics.map((name) => found[name]);
  if (distance(values, bin) / bin.limit <= profile.threshold) return null;
  return profile.statistics
    .map((name, i) => ({
      name,
      found: values[i],
      low: bin.low[i],
      high: bin.high[i],
      outside: Math.max(bin.low[i] - values[i], values[i] - bin.high[i]) / (bin.high[i] - bin.low[i]),
    }))
    .reduce((furthest, other) => (other.outside > furthest.outside ? other : furthest));
}

/** A finding in words. isOfStrokes: the model knows light strokes on a dark ground, so that `invert` may help. */
export function sentence({ name, found, low, high, outside }, isOfStrokes) {
  const beginning = "This does not look like the images that the model was trained for";
  if (outside <= 0) return `${beginning}: each of its statistics is usual, but not all of them together.`;
  const range = `${WORDS[name]} ${number(found)}, ${number(low)} to ${number(high)} expected`;
  const isDarkOnLight = isOfStrokes && name === "noisy_mean" && found > high;
  return `${beginning}: ${range}.${isDarkOnLight ? " Dark strokes on a light ground? Try invert." : ""}`;
}

/** The squared Mahalanobis distance of values from the mean of a bin. */
function distance(values, { mean, precision }) {
  const from = values.map((value, i) => value - mean[i]);
  return from.reduce((sum, a, i) => sum + a * from.reduce((inner, b, j) => inner + precision[i][j] * b, 0), 0);
}

/** Two digits that count: 0.82, 0.0031. */
function number(value) {
  return String(Number(value.toPrecision(2)));
}
