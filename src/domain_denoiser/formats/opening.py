"""What kind of image a file is, by its content, and the way to open it."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from domain_denoiser.base import reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.formats.arrays import ArrayFile
from domain_denoiser.formats.image_file import ImageFile
from domain_denoiser.formats.png_chunks import SIGNATURE
from domain_denoiser.formats.png_file import PngFile
from domain_denoiser.formats.raster import BmpFile, JpegFile, WebpFile
from domain_denoiser.formats.tiff import TiffFile

SUFFIXES: Mapping[str, str] = MappingProxyType(
    {
        ".png": "PNG",
        ".jpg": "JPEG",
        ".jpeg": "JPEG",
        ".tif": "TIFF",
        ".tiff": "TIFF",
        ".bmp": "BMP",
        ".webp": "WebP",
        ".npy": ".npy",
    }
)

_STARTS = {
    SIGNATURE: "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # with addresses of 64 bits
    b"MM\0+": "TIFF",
    b"BM": "BMP",
    b"\x93NUMPY": ".npy",
}
# Kinds that people have, but that are not read.
_OTHERS = {
    b"GIF8": "a GIF",
    b"%PDF": "a PDF",
    b"PK\3\4": "an archive, as .zip and .npz are",
    b"\0\0\0\x0cjP": "JPEG 2000",
}
_WANTED = "PNG, JPEG, TIFF, BMP, WebP or .npy"


def kind_of(path: Path) -> str | None:
    """The kind of an image file by its first bytes; None if it is none that is known. See `SUFFIXES` for the names.

    Raises BadInput if it cannot be read.
    """
    return kind(_start(path))


def opened(path: Path, value_range: tuple[float, float] | None) -> ImageFile:
    """Open an image file of any kind by its content.

    value_range: the least and the greatest value of float images, [0, 1] if None. Whole numbers have the range of
    their type, so together with them a value_range is refused: it would be overlooked.
    Raises BadInput if the file is no image, is damaged, or is of a type that is not read.
    """
    start = _start(path)
    match kind(start):
        case "PNG":
            file = PngFile(path)
        case "JPEG":
            file = JpegFile(path)
        case "BMP":
            file = BmpFile(path)
        case "WebP":
            file = WebpFile(path)
        case "TIFF":
            file = TiffFile(path, value_range)
        case ".npy":
            file = ArrayFile(path, value_range)
        case _:
            raise BadInput(f"{path} is {_described(start)}, but an image is wanted: {_WANTED}")
    if value_range is not None and file.dtype.kind != "f":
        raise BadInput(f"{path} holds {file.dtype} values, whose range is known; a range is for float images only")
    named = SUFFIXES.get(path.suffix.lower())
    if named not in (None, file.kind):
        file.notes += (f"{path} is named like a {named} file, but is a {file.kind} file",)
    return file


def _start(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise BadInput(f"{path} is a folder, but an image file is wanted")
        with reading.opened(path) as opened:
            return opened.read(16)
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist") from error
    except (OSError, ValueError) as error:  # a name that no file can have is a ValueError
        raise BadInput(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def kind(start: bytes) -> str | None:
    """The same of the first 16 bytes of a file."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WebP"
    return next((kind for magic, kind in _STARTS.items() if start.startswith(magic)), None)


def _described(start: bytes) -> str:
    if not start:
        return "empty"
    if start[4:8] == b"ftyp":
        return "a HEIC, AVIF or video file"
    return next((name for magic, name in _OTHERS.items() if start.startswith(magic)), "of an unknown kind")
