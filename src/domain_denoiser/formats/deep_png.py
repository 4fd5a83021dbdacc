"""PNGs of 16 bits with colour or alpha, which Pillow would bring down to 8 bits without a word.

pypng filters in plain Python: a million pixels take some seconds.
"""

import io

import numpy as np

from domain_denoiser.formats.png_chunks import Header


def decoded(content: bytes, header: Header) -> np.ndarray:
    """The samples of a PNG of 16 bits: uint16 [H, W, samples]. `check_length` comes first."""
    import png

    _, _, rows, _ = png.Reader(bytes=content).read()
    pixels = np.empty((header.height, header.width * header.samples), np.uint16)
    for row, read in zip(pixels, rows, strict=True):
        row[:] = read
    return pixels.reshape(header.height, header.width, header.samples)


def encoded(pixels: np.ndarray) -> io.BytesIO:
    """uint16 [H, W, 2 to 4] as a PNG."""
    import png

    height, width, samples = pixels.shape
    writer = png.Writer(width, height, greyscale=samples == 2, alpha=samples != 3, bitdepth=16)
    opened = io.BytesIO()
    writer.write_packed(opened, (row.astype(">u2").tobytes() for row in pixels))
    return opened
