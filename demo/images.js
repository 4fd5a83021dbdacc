// From what the browser can draw to values and back.

/** Pixels of the largest image that is taken: a minute or two in colour. */
export const LARGEST = 4_000_000;

/**
 * What a canvas shows, in the size that is wanted.
 * @param {CanvasImageSource} source with a width and a height
 * @param {number} width of the result, in pixels
 * @param {number} height
 * @returns {{values: Float32Array, channels: number, height: number, width: number}} values in [0, 1], [channels,
 *   height, width]; one channel if all pixels are grey, else three. Transparent pixels count as black.
 */
export function image(source, width, height) {
  const context = new OffscreenCanvas(width, height).getContext("2d", { alpha: false });
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, width, height);
  return planes(context.getImageData(0, 0, width, height));
}

/** RGBA bytes as values: see `image`. */
export function planes({ data, width, height }) {
  const pixels = width * height;
  const channels = isGrey(data) ? 1 : 3;
  const values = new Float32Array(channels * pixels);
  for (let channel = 0; channel < channels; channel++) {
    for (let i = 0; i < pixels; i++) values[channel * pixels + i] = data[4 * i + channel] / 255;
  }
  return { values, channels, height, width };
}

/** Show values [channels, height, width] on a canvas, which takes their size. */
export function show(canvas, values, { channels, height, width }) {
  const pixels = width * height;
  const shown = new ImageData(width, height);
  for (let i = 0; i < pixels; i++) {
    for (let channel = 0; channel < 3; channel++) {
      shown.data[4 * i + channel] = Math.round(255 * values[(channels === 3 ? channel * pixels : 0) + i]);
    }
    shown.data[4 * i + 3] = 255;
  }
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(shown, 0, 0);
}

/**
 * An image file as a bitmap, upright, with the values that it holds: no colour profile is applied.
 * Throws an Error with one sentence if the browser cannot read it, or if it is too large.
 */
export async function opened(file) {
  const options = { colorSpaceConversion: "none" };
  const bitmap = await createImageBitmap(file, options).catch(() => {
    throw new Error(`${file.name} is no image that this browser can read; PNG, JPEG, WebP, BMP and GIF are.`);
  });
  if (bitmap.width * bitmap.height > LARGEST) {
    const size = `${bitmap.width} x ${bitmap.height} pixels`;
    throw new Error(`${file.name} has ${size}; this page takes ${LARGEST / 1e6} million, denoise restore takes more.`);
  }
  return bitmap;
}

function isGrey(data) {
  for (let i = 0; i < data.length; i += 4) {
    if (data[i] !== data[i + 1] || data[i] !== data[i + 2]) return false;
  }
  return true;
}
