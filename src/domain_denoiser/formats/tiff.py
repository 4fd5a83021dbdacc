"""TIFF files, page by page, read and written by tifffile.

Format: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf
"""

import importlib.util
import logging
import lzma
import math
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from domain_denoiser.base import reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.formats import orientation, tiff_folders, values
from domain_denoiser.formats.image_file import ImageFile, check_block, check_size, whole, writing

if TYPE_CHECKING:
    import tifffile

# Photometric interpretations. Of JPEG-compressed pages, tifffile gives those in YCBCR as RGB.
MINISWHITE, MINISBLACK, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
CHANNELS = {MINISWHITE: 1, MINISBLACK: 1, RGB: 3, PALETTE: 3, YCBCR: 3}
EXTRA = (0, 1, 2)  # kinds of a sample more: unspecified, alpha that colours are multiplied with, alpha
UNCOMPRESSED, JPEG = 1, 7
SEPARATE = 2  # planar configuration: one colour after another
UNPACKERS = {8: zlib.decompressobj, 32946: zlib.decompressobj, 34925: lzma.LZMADecompressor}  # of the standard library

# What a page keeps: document, description, make, model, orientation, page name and number, software, date, artist,
# computer, XMP, copyright, colour profile; place on earth (GeoTIFF); what ImageJ and GDAL add.
KEPT = (
    *(269, 270, 271, 272, 274, 285, 297, 305, 306, 315, 316, 700, 33432, 34675),
    *(33550, 33922, 34264, 34735, 34736, 34737),
    *(50838, 50839, 42112, 42113),
)
RESOLUTION = (282, 283)
UNIT, UNITS, INCH = 296, (1, 2, 3), 2
SUBFILE = 254

STEP = 2**24  # bytes that are unpacked at once


class TiffFile(ImageFile):
    """A TIFF file of one page or more. All have one type and number of channels; they may differ in size."""

    kind = "TIFF"

    def __init__(self, path: Path, value_range: tuple[float, float] | None) -> None:
        self.path = path
        self.suffix = ".tiff" if path.suffix.lower() == ".tiff" else ".tif"
        with self._file() as file, self._guarded():
            _check_stack(path, file)
            _check_end(file)
            for page in file.pages:
                _check_page(path, page)
            self._has_folders = sum(map(len, tiff_folders.of_pages(file))) > 0  # raises if they are damaged
            kinds = list(dict.fromkeys((_dtype(page), CHANNELS[page.photometric]) for page in file.pages))
            if len(kinds) > 1:
                described = " and ".join(f"{dtype} x {channels}" for dtype, channels in kinds)
                raise BadInput(f"{path} has pages of several types ({described}); split it into files of one type each")
            [(self.dtype, self.channels)] = kinds
            self.images = len(file.pages)
            self.size = _upright_size(file.pages[0])
            self.alpha = any(page.samplesperpixel > self.channels for page in file.pages)
            self.notes = _said(path, file)
        if self.dtype.kind == "f":
            self.notes += values.notes(path, self.blocks(), value_range)

    def output_suffixes(self) -> tuple[str, ...]:
        return (".tif", ".tiff")

    def blocks(self) -> Iterator[np.ndarray]:
        with self._file() as file:
            for index in range(self.images):
                yield self._block(file, index)

    def write(self, target: Path, restored: Iterable[np.ndarray], suffix: str) -> None:
        import tifffile

        self._check_suffix(suffix)
        with self._file() as file:
            kept = {"bigtiff": file.is_bigtiff, "byteorder": file.byteorder}
            with tifffile.TiffWriter(target, imagej=False, ome=False, shaped=False, **kept) as writer:
                for index, block in zip(range(self.images), restored, strict=True):
                    pixels, described = self._page(file, index, block)
                    with writing(self.path, numbered=False):  # numpy writes, whose errors have no number
                        writer.write(pixels, **described)
                    del block, pixels  # before the next ones
            if self._has_folders:
                with _silent(), writing(self.path, numbered=False):
                    tiff_folders.put(target, self._folders(file))

    def _folders(self, file: "tifffile.TiffFile") -> Iterator[dict[int, tiff_folders.Folder]]:
        found = tiff_folders.of_pages(file)
        for _ in range(self.images):
            with self._guarded():
                folders = next(found)
            yield folders

    def _block(self, file: "tifffile.TiffFile", index: int) -> np.ndarray:
        """One page as it is shown, [1, H, W, channels]."""
        with self._guarded():
            page = file.pages[index]
            shown = _shown(page, _decoded(page)[..., : self.channels])
            return orientation.upright(shown, _orientation(page))[None]

    def _page(self, file: "tifffile.TiffFile", index: int, block: np.ndarray) -> tuple[np.ndarray, dict[str, object]]:
        """A restored page as it is stored, and what `TiffWriter.write` is told about it."""
        with self._guarded():
            page = file.pages[index]
            size = _upright_size(page)
        check_block(block, (1, *size, self.channels), self.dtype)
        with self._guarded():
            pixels = _as_stored(page, orientation.stored(block[0], _orientation(page)))
            if page.photometric != PALETTE and page.samplesperpixel > self.channels:
                pixels = np.concatenate([pixels, _decoded(page)[..., self.channels :]], axis=-1)
            return _laid_out(page, pixels), _description(file, page, pixels.shape[-1])

    @contextmanager
    def _file(self) -> Iterator["tifffile.TiffFile"]:
        import tifffile

        with ExitStack() as stack:
            try:
                opened = stack.enter_context(reading.opened(self.path))
            except OSError as error:  # of this file; what is raised inside may be of the target
                raise BadInput(f"{self.path} cannot be read: {error.strerror}") from error
            with self._guarded():
                # Not several files: the names of others, which a file of OME lists, are not followed.
                file = tifffile.TiffFile(opened, name=self.path.name, _multifile=False)
                if not file.pages:
                    raise ValueError("it has no pages")
            with file:
                yield file

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """As `whole`, without what tifffile logs. Ends before a block is given to the caller."""
        with _silent(), whole(self.path, self.kind):
            yield


@contextmanager
def _silent() -> Iterator[None]:
    """Inside, tifffile logs nothing; else it does for each odd tag."""
    log = logging.getLogger("tifffile")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _check_stack(path: Path, file: "tifffile.TiffFile") -> None:
    """Some programs keep a whole stack behind one page, where it would be overlooked."""
    imagej = (file.imagej_metadata or {}).get("images", 1) if file.is_imagej else 1
    truncated = file.is_shaped and any(found.get("truncated") for found in file.shaped_metadata or ())
    if imagej > len(file.pages) or truncated or file.is_stk or file.is_lsm:
        raise BadInput(f"{path} keeps several images behind one page; save each image as a page of its own")


def _check_end(file: "tifffile.TiffFile") -> None:
    """Raises ValueError if the last page leads to one more, which is not there: tifffile would leave it out."""
    form, handle = file.tiff, file.filehandle
    handle.seek(file.pages[-1].offset)
    tags = int.from_bytes(handle.read(form.tagnosize), _order(file))
    handle.seek(tags * form.tagsize, 1)
    if int.from_bytes(handle.read(form.offsetsize), _order(file)) != 0:
        raise ValueError(f"its page {len(file.pages) + 1} is missing")


def _order(file: "tifffile.TiffFile") -> str:
    return {"<": "little", ">": "big"}[file.byteorder]


def _check_page(path: Path, page: "tifffile.TiffPage") -> None:
    """Raises BadInput for a page that is not read, or not here in full."""
    where = f"{path}, page {page.index + 1},"
    check_size(path, page.imagelength, page.imagewidth)
    if page.imagedepth != 1:
        raise BadInput(f"{where} is a volume, but flat images are wanted; save each slice as a page of its own")
    if page.subifds or 330 in page.tags:
        raise BadInput(f"{where} has images within the page (SubIFDs); save each as a page or a file of its own")
    jpeg = page.compression == JPEG
    if page.photometric not in CHANNELS or (page.photometric == YCBCR and not jpeg):
        raise BadInput(
            f"{where} has the colours {_name(page.photometric)}, but grey or RGB is wanted; convert it to RGB"
        )
    dtype, bits = _dtype(page), page.bitspersample
    if dtype not in (np.uint8, np.uint16, bool, *"efd") or bits != (1 if dtype.kind == "b" else 8 * dtype.itemsize):
        found = f"samples of {bits} bits" if dtype.kind in "bO" or bits < 8 * dtype.itemsize else f"{dtype} samples"
        wanted = "1, 8 or 16 bits without sign, or floats of 16, 32 or 64 bits, are wanted"
        raise BadInput(f"{where} has {found}, but {wanted}")
    palette = page.photometric == PALETTE
    extra = page.samplesperpixel - (1 if palette else CHANNELS[page.photometric])
    if extra not in (0, 1) or (extra and (palette or bits == 1)) or (palette and page.dtype != np.uint8):
        raise BadInput(
            f"{where} has {page.samplesperpixel} samples of {bits} bits a pixel, but 1 or 3, "
            "of 8 bits or more also with alpha, are wanted"
        )
    if page.photometric == MINISWHITE and dtype.kind == "f":
        raise BadInput(f"{where} has float values whose least one is white; save it with 0 as black")
    if palette and np.shape(page.colormap) != (3, 256):
        raise ValueError("its palette is damaged")
    _check_codec(path, page)
    _check_segments(page)


def _check_codec(path: Path, page: "tifffile.TiffPage") -> None:
    import tifffile

    known = page.compression == UNCOMPRESSED or page.compression in tifffile.TIFF.DECOMPRESSORS
    if known and (page.predictor == 1 or page.predictor in tifffile.TIFF.UNPREDICTORS):
        return
    name = _name(page.predictor if known else page.compression)
    if importlib.util.find_spec("imagecodecs") is None:
        raise BadInput(f"{path} is compressed with {name}, which needs one more package: pip install imagecodecs")
    raise BadInput(f"{path} is compressed with {name}, which is not known; save it without compression")


def _check_segments(page: "tifffile.TiffPage") -> None:
    """Raises ValueError if a strip or tile is missing: tifffile would fill its place. None may unpack to too much."""
    count, end = math.prod(page.chunked), page.parent.filehandle.size
    places = list(zip(page.dataoffsets, page.databytecounts))
    if not len(page.dataoffsets) == len(page.databytecounts) == count:
        raise ValueError(f"page {page.index + 1} has {len(places)} strips or tiles instead of {count}")
    if not all(offset > 0 and 0 < length <= end - offset for offset, length in places):
        raise ValueError(f"a strip or tile of page {page.index + 1} lies outside the file")
    if page.compression in UNPACKERS:
        largest = 2 * math.prod(page.chunks) * page.dtype.itemsize
        for offset, length in places:
            page.parent.filehandle.seek(offset)
            _check_unpacked(UNPACKERS[page.compression](), page.parent.filehandle.read(length), largest)


def _check_unpacked(unpacker: "zlib._Decompress | lzma.LZMADecompressor", packed: bytes, largest: int) -> None:
    size = 0
    while packed or not getattr(unpacker, "needs_input", True):
        size += len(unpacker.decompress(packed, STEP))
        if size > largest:
            raise ValueError("a strip or tile unpacks to more than its page has")
        if unpacker.eof:
            return
        packed = getattr(unpacker, "unconsumed_tail", b"")  # lzma's keeps it to itself


def _said(path: Path, file: "tifffile.TiffFile") -> tuple[str, ...]:
    palette = any(page.photometric == PALETTE for page in file.pages)
    return (f"{path} has a palette; it comes out as RGB of 8 bits",) if palette else ()


def _name(value: object) -> str:
    return getattr(value, "name", str(value))


def _dtype(page: "tifffile.TiffPage") -> np.dtype:
    """Of the page's blocks; object if it has no type of numpy's."""
    return np.dtype(object) if page.dtype is None else page.dtype.newbyteorder("=")


def _orientation(page: "tifffile.TiffPage") -> int:
    return orientation.known(page.tags.valueof(orientation.TAG))


def _upright_size(page: "tifffile.TiffPage") -> tuple[int, int]:
    size = (page.imagelength, page.imagewidth)
    return size if _orientation(page) < 5 else size[::-1]


def _decoded(page: "tifffile.TiffPage") -> np.ndarray:
    """The page's samples as stored, [H, W, C]."""
    planes = page.asarray(squeeze=False)[:, 0]
    pixels = planes[0] if len(planes) == 1 else np.moveaxis(planes[..., 0], 0, -1)
    return pixels.astype(_dtype(page), copy=False)


def _shown(page: "tifffile.TiffPage", colours: np.ndarray) -> np.ndarray:
    """Stored samples, without alpha, as the values that are seen."""
    if page.photometric == MINISWHITE:
        return ~colours
    if page.photometric != PALETTE:
        return colours
    palette = page.colormap  # uint16 [3, 256]
    if palette.max() > 255:  # some programs write bytes instead
        palette = palette // 256
    return palette.astype(np.uint8).T[colours[..., 0]]


def _as_stored(page: "tifffile.TiffPage", shown: np.ndarray) -> np.ndarray:
    """The inverse of `_shown`; what had a palette is left as RGB."""
    return ~shown if page.photometric == MINISWHITE else shown


def _laid_out(page: "tifffile.TiffPage", pixels: np.ndarray) -> np.ndarray:
    """[H, W, C] as tifffile wants it: [H, W], [H, W, C], or [C, H, W] if one colour comes after another."""
    if pixels.shape[-1] == 1:
        return np.ascontiguousarray(pixels[..., 0])
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0) if page.planarconfig == SEPARATE else pixels)


def _description(file: "tifffile.TiffFile", page: "tifffile.TiffPage", samples: int) -> dict[str, object]:
    """How a page of so many samples a pixel is written: its layout, its compression and the tags that it keeps."""
    grey = CHANNELS[page.photometric] == 1
    found = {
        "photometric": page.photometric if grey else RGB,
        "compression": None if page.compression == UNCOMPRESSED else "zlib",
        "metadata": None,
        "software": False,
        "extratags": [tag for code in KEPT if (tag := _raw(file, page, code))],
    }
    found["extratags"] += [
        tiff_folders.placeholder(code, file.tiff) for code in tiff_folders.FOLDERS if code in page.tags
    ]
    if samples > 1:
        found["planarconfig"] = page.planarconfig
    if samples in (2, 4):
        found["extrasamples"] = [kind if kind in EXTRA else 0 for kind in page.extrasamples] or [0]
    if SUBFILE in page.tags:
        found["subfiletype"] = page.subfiletype
    resolution = [page.tags.valueof(code) for code in RESOLUTION]
    if all(isinstance(each, tuple) and len(each) == 2 and all(each) for each in resolution):
        unit = page.tags.valueof(UNIT)
        found |= {"resolution": resolution, "resolutionunit": unit if unit in UNITS else INCH}
    return found


def _raw(file: "tifffile.TiffFile", page: "tifffile.TiffPage", code: int) -> tuple[int, int, int, bytes, bool] | None:
    """A tag with the bytes of its value, for `extratags`; None if the page has none."""
    tag = page.tags.get(code)
    if tag is None or tag.value is None:  # its value lies outside the file
        return None
    file.filehandle.seek(tag.valueoffset)
    return code, tag.dtype, tag.count, file.filehandle.read(tag.valuebytecount), True
