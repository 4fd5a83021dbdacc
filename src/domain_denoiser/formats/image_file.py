"""What every kind of image file offers, the limits of all, and what becomes of damaged ones."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from domain_denoiser.base.errors import BadInput
from domain_denoiser.formats import orientation

LARGEST_IMAGE = 178_956_970  # pixels; of more, Pillow takes the file for a decompression bomb
MOST_PIXELS = f"{LARGEST_IMAGE:,} are the most of one image; cut it into parts"
LARGEST_FILE = 2**30  # bytes of a file that is read as a whole


class ImageFile(ABC):
    """An image file that was opened: what its headers say, its pixels, and how restored ones are written."""

    path: Path
    kind: str  # "PNG", "JPEG", "TIFF", "BMP", "WebP" or ".npy"
    suffix: str  # of its output, unless another of `output_suffixes` is wanted
    images: int  # pages or items
    size: tuple[int, int]  # height and width of the first image, upright
    channels: int  # colour channels without alpha: 1 or 3
    alpha: bool  # whether an image has it
    dtype: np.dtype  # of the blocks: bool, uint8, uint16 or a float type, in the byte order of this machine
    notes: tuple[str, ...]  # sentences about what a person should know of the file or of its output

    @abstractmethod
    def blocks(self) -> Iterator[np.ndarray]:
        """The images in order, upright: [n, H, W, channels] of `dtype`; alpha is left out.

        n is 1, but for .npy files; the images of two blocks may differ in size. The blocks are for reading only.
        Raises BadInput if the file is damaged.
        """

    @abstractmethod
    def write(self, target: Path, restored: Iterable[np.ndarray], suffix: str) -> None:
        """Write blocks, shaped and typed as those of `blocks`, with all that the file carries beside them.

        target: is written to as it is, whatever its name. suffix: one of `output_suffixes`; it chooses the format.
        Raises BadInput if the file is damaged or the suffix is another, ValueError if the blocks do not fit.
        """

    @abstractmethod
    def output_suffixes(self) -> tuple[str, ...]:
        """What the name of the output may end in, lower-case."""

    def _check_suffix(self, suffix: str) -> None:
        if suffix not in self.output_suffixes():
            wanted = " or ".join(self.output_suffixes())
            raise BadInput(f"{self.path} is a {self.kind} file, whose output is a {wanted} file, not a {suffix} file")


class Picture(ImageFile):
    """A file of one image that is read and written as a whole."""

    images = 1
    orientation: int  # EXIF's, 1 to 8

    _alpha: np.ndarray | None = None  # as stored; kept from the last reading, since to read 16 bits takes long

    @abstractmethod
    def _read(self) -> np.ndarray:
        """The pixels as stored: [H, W, channels] or, with alpha, [H, W, channels + 1]."""

    @abstractmethod
    def _write(self, target: Path, pixels: np.ndarray, suffix: str) -> None:
        """Write what `_read` gives."""

    def blocks(self) -> Iterator[np.ndarray]:
        yield orientation.upright(self._colours(), self.orientation)[None]

    def write(self, target: Path, restored: Iterable[np.ndarray], suffix: str) -> None:
        self._check_suffix(suffix)
        [block] = restored
        check_block(block, (1, *self.size, self.channels), self.dtype)
        pixels = orientation.stored(block[0], self.orientation)
        if self.alpha:
            if self._alpha is None:
                self._colours()
            pixels = np.concatenate([pixels, self._alpha], axis=-1)
        with writing(self.path):
            self._write(target, pixels, suffix)

    def _colours(self) -> np.ndarray:
        with whole(self.path, self.kind):
            pixels = self._read()
            stored = self.size if self.orientation < 5 else self.size[::-1]
            if pixels.shape != (*stored, self.channels + self.alpha) or pixels.dtype != self.dtype:
                raise BadInput(f"{self.path} was changed while it was read")
        if self.alpha:
            self._alpha = pixels[..., self.channels :].copy()
        return pixels[..., : self.channels]


@contextmanager
def whole(path: Path, kind: str) -> Iterator[None]:
    """Whatever a decoder raises about a damaged file is bad input. Decoders give no warnings inside."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (BadInput, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise BadInput(f"{path} has too many pixels: {MOST_PIXELS}") from error
    except UnidentifiedImageError as error:  # its text is about an object of Python
        raise BadInput(f"{path} is not a whole {kind}") from error
    except Exception as error:  # decoders let through whatever their parsing runs into
        if isinstance(error, OSError) and error.strerror:  # of the disk, not of a decoder
            raise BadInput(f"{path} cannot be read: {error.strerror}") from error
        raise BadInput(f"{path} is not a whole {kind}: {error}") from error


@contextmanager
def writing(path: Path, numbered: bool = True) -> Iterator[None]:
    """Whatever an encoder raises about data of the file is bad input. An OSError of the target passes unchanged.

    numbered: whether those of the target have an errno, by which they differ from an encoder's own.
    """
    try:
        yield
    except (BadInput, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and (error.errno is not None or not numbered):
            raise
        raise BadInput(f"{path} carries what cannot be written: {error}") from error


def check_size(path: Path, height: int, width: int) -> None:
    """Raises BadInput if an image of so many pixels is not read."""
    if min(height, width) < 1:
        raise BadInput(f"{path} has {width} x {height} pixels, but an image has at least 1 x 1")
    if height * width > LARGEST_IMAGE:
        raise BadInput(f"{path} has {width} x {height} pixels, but {MOST_PIXELS}")


def check_block(block: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raises ValueError if what is to be written does not fit what was read."""
    if block.shape != shape or block.dtype != dtype:
        wanted = f"{dtype} {list(shape)}"
        raise ValueError(f"the block is {block.dtype} {list(block.shape)}, but {wanted} is wanted")
