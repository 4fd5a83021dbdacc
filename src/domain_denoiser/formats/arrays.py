""".npy files: one image or many, of any layout that numpy users have."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import images as parsing
from domain_denoiser.formats import values
from domain_denoiser.formats.image_file import ImageFile, check_block, check_size

PART = 800_000  # pixels of a block: about 1,000 images of MNIST's size

LAYOUTS = "[H, W], [N, H, W], [H, W, 1 or 3], [N, H, W, 1 or 3] or [N, 1 or 3, H, W]"


def as_images(array: np.ndarray) -> np.ndarray:
    """Images of any of the layouts LAYOUTS as a view [N, H, W, C], C = 1 or 3.

    Three axes are [H, W, C] if the last has the length 1 or 3, else [N, H, W]; four [N, H, W, C], else [N, C, H, W].
    Raises ValueError for another layout.
    """
    shape = array.shape
    if 0 in shape:
        raise ValueError(f"has the shape {list(shape)}, which holds no image")
    match len(shape):
        case 2:
            return array[None, :, :, None]
        case 3:
            return array[None] if shape[-1] in (1, 3) else array[..., None]
        case 4 if shape[-1] in (1, 3):
            return array
        case 4 if shape[1] in (1, 3):
            return array.transpose(0, 2, 3, 1)
    raise ValueError(f"has the shape {list(shape)}, but {LAYOUTS} is wanted")


def as_given(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `as_images`: [N, H, W, C], of all images or of some, in the layout of an array of `shape`."""
    if len(shape) == 4 and shape[-1] not in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    return images.reshape(-1, *shape[1:])


def checked(array: np.ndarray, where: str) -> np.ndarray:
    """As `as_images`. Raises BadInput, whose message starts with `where`, for another layout, or another type."""
    if array.dtype.newbyteorder("=") not in (np.bool_, np.uint8, np.uint16) and array.dtype.kind != "f":
        way = "; convert them to uint8, uint16 or float" if array.dtype.kind in "iu" else ""
        raise BadInput(f"{where} holds {array.dtype} values, but uint8, uint16, bool or float ones are wanted{way}")
    try:
        return as_images(array)
    except ValueError as error:
        raise BadInput(f"{where} {error}") from error


class ArrayFile(ImageFile):
    """A .npy file, memory-mapped while its blocks are read: a map keeps the file open."""

    kind = suffix = ".npy"
    alpha = False

    def __init__(self, path: Path, value_range: tuple[float, float] | None) -> None:
        self.path = path
        array = parsing.mapped_array(path)
        self.images, *size, self.channels = checked(array, str(path)).shape
        self._shape, self._stored = array.shape, array.dtype
        self.dtype = array.dtype.newbyteorder("=")
        self.size = (size[0], size[1])
        check_size(path, *self.size)
        self.notes = values.notes(path, self.blocks(), value_range) if self.dtype.kind == "f" else ()

    def output_suffixes(self) -> tuple[str, ...]:
        return (".npy",)

    def blocks(self) -> Iterator[np.ndarray]:
        array = parsing.mapped_array(self.path)
        if (array.shape, array.dtype) != (self._shape, self._stored):
            raise BadInput(f"{self.path} was changed while it was read")
        images = as_images(array)
        step = max(1, PART // (self.size[0] * self.size[1]))
        for start in range(0, self.images, step):
            yield np.array(images[start : start + step], self.dtype)

    def write(self, target: Path, restored: Iterable[np.ndarray], suffix: str) -> None:
        self._check_suffix(suffix)
        with target.open("wb") as opened:
            parsing.write_parts(opened, target, self._shape[0], map(self._as_stored, restored))

    def _as_stored(self, block: np.ndarray) -> np.ndarray:
        check_block(block, (len(block), *self.size, self.channels), self.dtype)
        return as_given(block, self._shape).astype(self._stored, copy=False)
