// Which channels of an image go through a network together, and what comes out: as runtime/denoiser.py has it.

/**
 * What the network is given, one after another: lists of channels of the image.
 * @param {number} network channels that it takes, 1 or 3
 * @param {number} image channels that it has, 1 or 3
 * @returns {number[][]} a grey image goes into a network for colour as three equal channels
 */
export function groups(network, image) {
  if (network === 1) return Array.from({ length: image }, (_, channel) => [channel]);
  return [image === 1 ? [0, 0, 0] : [0, 1, 2]];
}

/** Planes of one size as one array, [channels, height, width]. */
export function joined(planes) {
  const values = new Float32Array(planes.length * planes[0].length);
  planes.forEach((plane, i) => values.set(plane, i * plane.length));
  return values;
}

/**
 * What comes out as planes by the image's channels; of a channel that went in more than once it is the mean.
 * @param {Float32Array} values [channels, height, width]
 * @param {number[]} channels one of what `groups` gives
 * @returns {Map<number, Float32Array>}
 */
export function separated(values, channels) {
  const size = values.length / channels.length;
  const planes = channels.map((_, i) => values.subarray(i * size, (i + 1) * size));
  return new Map(channels.map((channel) => [channel, mean(planes.filter((_, i) => channels[i] === channel))]));
}

function mean(planes) {
  if (planes.length === 1) return planes[0];
  return planes[0].map((_, i) => planes.reduce((sum, plane) => sum + plane[i], 0) / planes.length);
}
