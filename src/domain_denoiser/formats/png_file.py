"""PNG files, of all colour types and depths."""

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from domain_denoiser.base import reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.formats import deep_png, orientation, pillow, png_chunks
from domain_denoiser.formats.image_file import LARGEST_FILE, Picture, check_size, whole

PALETTE = 3  # colour type


class PngFile(Picture):
    """A PNG file. Palettes come out as grey or RGB, 2 and 4 bits as 8, a transparent colour as alpha."""

    kind, suffix = "PNG", ".png"

    def __init__(self, path: Path) -> None:
        self.path = path
        content = reading.content(path, LARGEST_FILE)
        with whole(path, self.kind):
            self._header = png_chunks.header(content)
            check_size(path, self._header.height, self._header.width)
            beside = {name: bytes(data) for name, data in png_chunks.chunks(content) if name != b"IDAT"}
        if b"acTL" in beside:
            raise BadInput(f"{path} is an animated PNG; save its frames as files of their own, and give those")
        self._transparency = beside.get(b"tRNS")
        self.alpha = self._header.colour in (4, 6) or self._transparency is not None
        self._grey = self._header.colour in (0, 4) or (
            self._header.colour == PALETTE and b"iCCP" not in beside and _is_grey(beside.get(b"PLTE", b""))
        )
        self.orientation = orientation.of_exif(beside.get(b"eXIf"))
        shown = orientation.upright(np.broadcast_to(0, (self._header.height, self._header.width, 1)), self.orientation)
        self.size = shown.shape[:2]
        self.channels = 1 if self._grey else 3
        bilevel = self._header.colour == 0 and self._header.bits == 1 and not self._transparency
        self.dtype = np.dtype(bool if bilevel else np.uint16 if self._header.bits == 16 else np.uint8)
        self.notes = self._said()

    def output_suffixes(self) -> tuple[str, ...]:
        return (".png",)

    def _said(self) -> tuple[str, ...]:
        if self._header.colour == PALETTE:
            wanted = ("grey" if self._grey else "RGB") + (" with alpha" if self.alpha else "")
            return (f"{self.path} has a palette; it comes out as {wanted}",)
        if self._transparency:
            return (f"{self.path} has a transparent colour; it comes out with alpha",)
        if self._header.bits in (2, 4):
            return (f"{self.path} has {self._header.bits} bits a pixel; it comes out with 8",)
        return ()

    def _read(self) -> np.ndarray:
        content = reading.content(self.path, LARGEST_FILE)
        png_chunks.check_length(content)
        if self._header.bits == 16 and self._header.colour != 0:
            samples = deep_png.decoded(content, self._header)
        else:
            with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
                samples = pillow.pixels(image, self._grey)
        if self._transparency is None or self._header.colour == PALETTE:
            return samples
        return _with_alpha(samples, self._transparency, self._header.bits)

    def _write(self, target: Path, pixels: np.ndarray, suffix: str) -> None:
        carried = png_chunks.carried(reading.content(self.path, LARGEST_FILE))
        write_png(target, pixels, carried)


def write_png(target: Path, pixels: np.ndarray, carried: list[png_chunks.Chunk]) -> None:
    """Write bool [H, W, 1], uint8 or uint16 [H, W, 1 to 4] as a PNG with parts added to it."""
    if pixels.dtype == np.uint16 and pixels.shape[-1] > 1:
        encoded = deep_png.encoded(pixels)
    else:
        encoded = io.BytesIO()
        pillow.image(pixels).save(encoded, format="PNG")
    with target.open("wb") as opened:
        png_chunks.write(opened, encoded.getbuffer(), carried)


def _is_grey(palette: bytes) -> bool:
    return palette[0::3] == palette[1::3] == palette[2::3]


def _with_alpha(samples: np.ndarray, transparency: bytes, bits: int) -> np.ndarray:
    """Samples [H, W, C] with a channel more, which is 0 where they are the transparent colour."""
    if samples.dtype == bool:
        samples = samples * np.uint8(255)
    most = np.iinfo(samples.dtype).max
    colour = np.array(struct.unpack(f">{samples.shape[-1]}H", transparency)) % 2**bits * (most // (2**bits - 1))
    seen = (samples != colour.astype(samples.dtype)).any(-1, keepdims=True)
    return np.concatenate([samples, seen * samples.dtype.type(most)], axis=-1)
