"""JPEG, BMP and WebP files, read and written by Pillow."""

import io
import struct
import zlib
from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from domain_denoiser.base import reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.formats import orientation, pillow, png_file
from domain_denoiser.formats.image_file import LARGEST_FILE, Picture, check_size, whole
from domain_denoiser.formats.png_chunks import Chunk

LARGEST_SEGMENT = 65_533  # bytes of one part of a JPEG
CHANNELS = {"1": 1, "L": 1, "RGB": 3, "RGBA": 3}  # of Pillow's modes, without alpha


class _Raster(Picture):
    """A picture whose header Pillow reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with whole(path, self.kind), self._opened() as image:
            check_size(path, image.height, image.width)
            self._grey = image.mode == "P" and pillow.has_grey_palette(image)
            self._mode = ("L" if self._grey else "RGB") if image.mode == "P" else image.mode
            self._info = dict(image.info)
            self.notes = self._said(image)
        if self._mode not in CHANNELS:
            raise BadInput(f"{path} has the colours {self._mode}, but grey or RGB is wanted; convert it to RGB")
        self.channels, self.alpha = CHANNELS[self._mode], self._mode == "RGBA"
        self.dtype = np.dtype(bool if self._mode == "1" else np.uint8)
        self.orientation = orientation.of_exif(self._info.get("exif"))
        self.size = image.size[::-1] if self.orientation < 5 else image.size

    @abstractmethod
    def _said(self, image: Image.Image) -> tuple[str, ...]:
        """The notes. Raises BadInput if the picture is no single one."""

    def _opened(self) -> Image.Image:
        # As bytes, of which Pillow gets no more than there are, whatever length a part of the file claims.
        return Image.open(io.BytesIO(reading.content(self.path, LARGEST_FILE)), formats=[self.kind.upper()])

    def _read(self) -> np.ndarray:
        with self._opened() as image:
            return pillow.pixels(image, self._grey)

    def _kept(self, *names: str) -> dict[str, object]:
        return {name: self._info[name] for name in names if self._info.get(name)}


class JpegFile(_Raster):
    """A JPEG file. Its output is a PNG, since JPEG loses a little at each writing, unless its name says otherwise."""

    kind, suffix = "JPEG", ".png"

    def output_suffixes(self) -> tuple[str, ...]:
        return (".png", ".jpg", ".jpeg")

    def _said(self, image: Image.Image) -> tuple[str, ...]:
        count = getattr(image, "n_frames", 1)
        return (f"{self.path} holds {count} pictures; only the first is restored",) if count > 1 else ()

    def _write(self, target: Path, pixels: np.ndarray, suffix: str) -> None:
        if suffix == ".png":
            png_file.write_png(target, pixels, self._as_chunks())
            return
        kept = self._kept("icc_profile", "dpi", "exif", "xmp", "comment")
        if not _within(kept.get("dpi", ()), 2**16):
            del kept["dpi"]
        if len(kept.get("exif", b"")) > LARGEST_SEGMENT:  # it came in several parts, which Pillow does not write
            del kept["exif"]
        pillow.image(pixels).save(target, format="JPEG", quality=95, subsampling=0, **kept)

    def _as_chunks(self) -> list[Chunk]:
        """EXIF, colour profile, resolution and XMP as parts of a PNG."""
        found = []
        if profile := self._info.get("icc_profile"):
            found.append(Chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile)))
        per_metre = [float(each) / 0.0254 for each in self._info.get("dpi", ())]
        if per_metre and _within(per_metre, 2**31):
            found.append(Chunk(b"pHYs", struct.pack(">IIB", *map(round, per_metre), 1)))
        if exif := self._info.get("exif"):
            found.append(Chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
        if xmp := self._info.get("xmp"):
            found.append(Chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
        return found


class WebpFile(_Raster):
    """A WebP file of one picture, whose output is lossless. WebP has no grey."""

    kind, suffix = "WebP", ".webp"

    def output_suffixes(self) -> tuple[str, ...]:
        return (".webp",)

    def _said(self, image: Image.Image) -> tuple[str, ...]:
        if image.is_animated:
            raise BadInput(f"{self.path} is an animated WebP; save its frames as files of their own, and give those")
        return ()

    def _write(self, target: Path, pixels: np.ndarray, suffix: str) -> None:
        kept = self._kept("icc_profile", "exif", "xmp")
        pillow.image(pixels).save(target, format="WEBP", lossless=True, exact=True, **kept)


class BmpFile(_Raster):
    """A BMP file. Palettes come out as grey or RGB, 16 and 32 bits without alpha as 24."""

    kind, suffix = "BMP", ".bmp"

    def output_suffixes(self) -> tuple[str, ...]:
        return (".bmp",)

    def _said(self, image: Image.Image) -> tuple[str, ...]:
        return (f"{self.path} has a palette; it comes out as {self._mode}",) if image.mode == "P" else ()

    def _write(self, target: Path, pixels: np.ndarray, suffix: str) -> None:
        dpi = self._info.get("dpi", (0, 0))
        if self.alpha:
            target.write_bytes(_bmp_with_alpha(pixels, dpi))
        else:
            pillow.image(pixels).save(target, format="BMP", dpi=dpi)


def _within(resolution: Iterable[float], end: int) -> bool:
    """Whether all its numbers are above 0 and below the end when they are rounded. EXIF may hold any."""
    return all(0.5 < each < end - 0.5 for each in resolution)


def _bmp_with_alpha(pixels: np.ndarray, dpi: tuple[float, float]) -> bytes:
    """uint8 [H, W, 4] as a BMP with masks for each channel; Pillow writes one whose alpha nobody reads."""
    height, width, _ = pixels.shape
    rows = np.ascontiguousarray(pixels[::-1, :, [2, 1, 0, 3]]).tobytes()
    head, bitfields = 14 + 108, 3
    resolution = (int(each * 39.3701 + 0.5) for each in dpi)  # per metre
    described = struct.pack("<IiiHHIIIIII", 108, width, height, 1, 32, bitfields, len(rows), *resolution, 0, 0)
    masks = struct.pack("<IIII4s48x", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, b"BGRs")  # sRGB
    return b"BM" + struct.pack("<IHHI", head + len(rows), 0, 0, head) + described + masks + rows
