"""EXIF and GPS data of TIFF pages. They are folders of tags of their own, which tifffile does not write."""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import tifffile

FOLDERS = (34665, 34853)  # EXIF, GPS
MOST = 65_535  # entries of one folder, as many as the format had before BigTIFF
_INTEROPERABILITY = 40965  # a folder within that of EXIF, which says nothing about the picture
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8, 17: 8}  # bytes by type


class Folder:
    """The tags of one folder with the bytes of their values."""

    def __init__(self, file: BinaryIO, place: int, form: "tifffile.TiffFormat", size: int) -> None:
        """Read it from its place in a file of so many bytes. Raises ValueError, KeyError or struct.error if damaged."""
        file.seek(place)
        [count] = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
        self.length = count * form.tagsize  # bytes of its entries and of the values beside them
        if self.length > size:
            raise ValueError("its EXIF or GPS data lies outside the file")
        if count > MOST:
            raise ValueError(f"its EXIF or GPS data has more than {MOST:,} entries")
        entries = file.read(self.length)
        self._tags: list[tuple[int, int, int, bytes]] = []
        for start in range(0, len(entries), form.tagsize):
            code, kind, number, value = struct.unpack_from(form.tagheaderformat, entries, start)
            length = number * _SIZES[kind]
            if length > form.offsetsize:
                file.seek(*struct.unpack(form.offsetformat, value))
                value = file.read(min(length, size))
                self.length += length
            if len(value) < length or self.length > size:  # together, they are no longer than the file
                raise ValueError("a value of its EXIF or GPS data lies outside the file")
            if code != _INTEROPERABILITY:
                self._tags.append((code, kind, number, value))

    def laid_out(self, place: int, form: "tifffile.TiffFormat") -> bytes:
        """Its bytes for that place in a file."""
        values = bytearray()
        after = place + form.tagnosize + len(self._tags) * form.tagsize + form.offsetsize
        parts = [struct.pack(form.tagnoformat, len(self._tags))]
        for code, kind, number, value in self._tags:
            if len(value) > form.offsetsize:
                pointer = struct.pack(form.offsetformat, after + len(values))
                values += value + b"\0" * (len(value) % 2)
                value = pointer
            parts.append(struct.pack(form.tagheaderformat, code, kind, number, value))
        return b"".join([*parts, bytes(form.offsetsize), values])


def of_pages(file: "tifffile.TiffFile") -> Iterator[dict[int, Folder]]:
    """The folders of each page, read when it is its turn. Raises as `Folder`, and if pages share more than is there."""
    left = file.filehandle.size
    for page in file.pages:
        found = of_page(page)
        left -= sum(folder.length for folder in found.values())
        if left < 0:
            raise ValueError("the EXIF and GPS data of all its pages are longer than the file")
        yield found


def of_page(page: "tifffile.TiffPage") -> dict[int, Folder]:
    """A page's folders by the tag that points to them. Raises as `Folder`."""
    handle, form = page.parent.filehandle, page.parent.tiff
    return {
        code: Folder(handle, page.tags[code].valueoffset, form, handle.size) for code in FOLDERS if code in page.tags
    }


def placeholder(code: int, form: "tifffile.TiffFormat") -> tuple[int, int, int, int, bool]:
    """The extra tag that keeps the place of the one that points to a folder: tifffile would leave that out."""
    return code - 1, 16 if form.is_bigtiff else 4, 1, 0, True


def put(target: Path, folders: Iterable[dict[int, Folder]]) -> None:
    """Append the folders of each page to a file that was written with placeholders, and let these point to them."""
    import tifffile

    with target.open("r+b") as opened, tifffile.TiffFile(opened, name=target.name, _multifile=False) as file:
        for page, found in zip(file.pages, folders, strict=True):
            for code, folder in found.items():
                place = opened.seek(0, 2)
                place += opened.write(b"\0" * (place % 2))
                opened.write(folder.laid_out(place, file.tiff))
                tag = page.tags[code - 1]
                opened.seek(tag.offset)
                opened.write(struct.pack(file.tiff.byteorder + "H", code))
                opened.seek(tag.valueoffset)
                opened.write(struct.pack(file.tiff.offsetformat, place))
