"""The parts of a PNG file: its header, and what it carries beside pixels.

Format: https://www.w3.org/TR/png-3/
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADED = len(SIGNATURE) + 25  # bytes up to the end of the header

# What says how colours are meant; the rest that an output keeps is marked by the format as safe to copy.
_COLOUR_SPACE = {b"cHRM", b"gAMA", b"iCCP", b"sRGB", b"cICP", b"mDCV", b"cLLI"}

# Of the seven small images that an interlaced PNG stores: first column, first row, step right, step down.
_INTERLACED = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_WHOLE = ((0, 0, 1, 1),)
STEP = 2**24  # bytes that are unpacked at once


class Chunk(NamedTuple):
    """One part of the file."""

    name: bytes
    content: bytes | memoryview


class Header(NamedTuple):
    """What the first part says."""

    width: int
    height: int
    bits: int  # a sample: 1, 2, 4, 8 or 16
    colour: int  # 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGBA
    compression: int
    filtering: int
    interlaced: int

    @property
    def samples(self) -> int:
        """How many a pixel has, with alpha."""
        return {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[self.colour]


def header(content: bytes) -> Header:
    """The header of a PNG file. Raises ValueError if it has none."""
    if content[12:16] != b"IHDR" or len(content) < HEADED:
        raise ValueError("it has no header")
    found = Header(*struct.unpack_from(">IIBBBBB", content, 16))
    if found.colour not in (0, 2, 3, 4, 6):
        raise ValueError(f"its colour type {found.colour} is not known")
    return found


def chunks(content: bytes) -> Iterator[Chunk]:
    """All parts. Raises ValueError at one that is damaged, and if the last one is missing."""
    place, name, view = len(SIGNATURE), b"", memoryview(content)
    while name != b"IEND":
        if place + 12 > len(content):
            raise ValueError("it ends too early")
        length, name = struct.unpack_from(">I4s", content, place)
        end = place + 8 + length
        if end + 4 > len(content):
            raise ValueError("it ends too early")
        if zlib.crc32(view[place + 4 : end]) != struct.unpack_from(">I", content, end)[0]:
            raise ValueError(f"its part {name.decode('latin-1')!r} is damaged")
        yield Chunk(name, view[place + 8 : end])
        place = end + 4


def check_length(content: bytes) -> None:
    """Raises ValueError if the pixels unpack to more or less than the header claims.

    Pillow fills what is missing with black, and pypng unpacks all that there is.
    """
    wanted, found, unpacking = _length(header(content)), 0, zlib.decompressobj()
    for name, packed in chunks(content):
        while name == b"IDAT" and packed:
            if unpacking.eof:  # each further part would be copied together with all before it
                raise ValueError("there are pixels after their end")
            found += len(unpacking.decompress(packed, STEP))
            if found > wanted:
                raise ValueError("its pixels are more than its header claims")
            packed = unpacking.unconsumed_tail
    if found != wanted or not unpacking.eof:
        raise ValueError("its pixels are fewer than its header claims")


def _length(header: Header) -> int:
    """Bytes of all rows, each with one byte more for its filter."""
    length = 0
    for left, top, right, down in _INTERLACED if header.interlaced else _WHOLE:
        height, width = -(-(header.height - top) // down), -(-(header.width - left) // right)
        if height > 0 and width > 0:
            length += height * (1 + -(-width * header.samples * header.bits // 8))
    return length


def carried(content: bytes) -> list[Chunk]:
    """Copies of what an output keeps: EXIF, resolution, text, colour space; not what depends on the pixels."""
    safe_to_copy = 0x20  # in the fourth letter of a name
    return [
        Chunk(name, bytes(data))
        for name, data in chunks(content)
        if name in _COLOUR_SPACE or (name[3] & safe_to_copy and name[0] & 0x20)
    ]


def write(opened: BinaryIO, png: memoryview, added: Iterable[Chunk]) -> None:
    """Write a PNG file with parts added to it."""
    opened.write(png[:HEADED])
    for name, data in added:
        opened.write(struct.pack(">I4s", len(data), name))
        opened.write(data)
        opened.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))
    opened.write(png[HEADED:])
