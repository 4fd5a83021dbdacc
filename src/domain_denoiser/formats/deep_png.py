"""PNGs of 16 bits with colour or alpha, which Pillow would bring down to 8 bits without a word.

pypng filters in plain Python: a million pixels take some seconds.
"""

import io
import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from domain_denoiser.formats.png_chunks import Header, chunks

STEP = 2**24  # bytes that are unpacked at once


def decoded(content: bytes, header: Header) -> np.ndarray:
    """The samples of a PNG of 16 bits: uint16 [H, W, samples]. Raises an Exception of any type if it is damaged."""
    import png

    _check_length((data for name, data in chunks(content) if name == b"IDAT"), header)
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


def _check_length(parts: Iterable[memoryview], header: Header) -> None:
    """Raises ValueError if the parts unpack to another length than the pixels have, before anybody unpacks them."""
    wanted, found, unpacking = _raw_length(header), 0, zlib.decompressobj()
    for part in parts:
        while part:
            found += len(unpacking.decompress(part, STEP))
            if found > wanted:
                raise ValueError("its pixels are more than its header claims")
            part = unpacking.unconsumed_tail
    if found != wanted or not unpacking.eof:
        raise ValueError("its pixels are fewer than its header claims")


def _raw_length(header: Header) -> int:
    """Bytes of the rows, each with one byte more for its filter."""
    return sum(height * (1 + 2 * width * header.samples) for height, width in _passes(header))


def _passes(header: Header) -> Iterator[tuple[int, int]]:
    """Heights and widths of the images that an interlaced PNG stores; else its own."""
    import png

    steps = png.adam7 if header.interlaced else ((0, 0, 1, 1),)
    for left, top, right, down in steps:
        height, width = -(-(header.height - top) // down), -(-(header.width - left) // right)
        if height > 0 and width > 0:
            yield height, width
