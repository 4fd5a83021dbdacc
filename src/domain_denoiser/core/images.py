"""The image convention.

On disk, and in NumPy: grey images [N, H, W], colour images [N, 3, H, W]; uint8 or uint16. In torch: float32
[N, C, H, W] in [0, 1], C = 1 or 3.
"""

import errno
import io
import itertools
import math
import os
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from domain_denoiser.base import atomic, reading
from domain_denoiser.base.errors import BadInput

if TYPE_CHECKING:
    import torch

COLOURS = 3  # channels of a colour image
LARGEST = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65_535}  # the value that stands for 1
LARGEST_HEADER = 2**16  # bytes of the header of a .npy file; numpy accepts 10,000 at most


def to_float(images: np.ndarray, device: "torch.device | str") -> "torch.Tensor":
    """uint8 or uint16 [N, H, W] or [N, 3, H, W] -> float32 [N, C, H, W] in [0, 1] on `device`."""
    import torch

    return scaled(torch.from_numpy(np.ascontiguousarray(images)).to(device))


def scaled(images: "torch.Tensor") -> "torch.Tensor":
    """uint8 or uint16 [N, H, W] or [N, 3, H, W] -> float32 [N, C, H, W] in [0, 1] on the same device.

    Float images are returned unchanged.
    """
    if images.is_floating_point():
        return images
    return (images if images.ndim == 4 else images.unsqueeze(1)) / float(255 if images.itemsize == 1 else 65_535)


def from_unit(images: np.ndarray, device: "torch.device | str") -> "torch.Tensor":
    """float [N, H, W] or [N, 3, H, W] in [0, 1], of any precision and byte order -> float32 [N, C, H, W]."""
    import torch

    there = torch.from_numpy(images.astype(np.float32)).to(device)
    return there if there.ndim == 4 else there.unsqueeze(1)


def to_unit(images: "torch.Tensor", dtype: np.dtype) -> np.ndarray:
    """float32 [N, C, H, W] in [0, 1] -> [N, H, W] or [N, 3, H, W] of the float type `dtype`."""
    return _without_one(images).cpu().numpy().astype(dtype)


def stored(images: "torch.Tensor", dtype: np.dtype) -> np.ndarray:
    """float [N, C, H, W] in [0, 1] -> [N, H, W] or [N, 3, H, W] of `dtype`, rounded to the nearest of its values.

    dtype: uint8 or uint16.
    """
    import torch

    target = torch.uint8 if dtype == np.uint8 else torch.uint16
    return _without_one(images).mul(float(LARGEST[np.dtype(dtype)])).round().to(target).cpu().numpy()


def per_batch(values: int, images: "np.ndarray | torch.Tensor") -> int:
    """How many of these images have at most so many values together; at least one."""
    return max(1, values // math.prod(images.shape[1:]))


def channels(images: np.ndarray) -> int:
    """Of images as on disk: 1 for [N, H, W], 3 for [N, 3, H, W]."""
    return 1 if images.ndim == 3 else COLOURS


def _without_one(images: "torch.Tensor") -> "torch.Tensor":
    """Grey images without the axis of their one channel."""
    return images.squeeze(1) if images.shape[1] == 1 else images


def save(path: Path, array: np.ndarray) -> None:
    """Write an array as .npy, atomically."""
    save_parts(path, len(array), [array])


def save_parts(path: Path, count: int, parts: Iterable[np.ndarray]) -> None:
    """Write `count` images given as parts, of one dtype and form; equal to `save` of the concatenated parts."""
    with atomic.file(path) as temporary, temporary.open("wb") as opened:
        write_parts(opened, path, count, parts)


def write_parts(opened: BinaryIO, path: Path, count: int, parts: Iterable[np.ndarray]) -> None:
    """As `save_parts`, but into an open file, which becomes `path`.

    Raises ValueError if the parts have more or fewer than `count` images.
    """
    parts = iter(parts)
    first = np.ascontiguousarray(next(parts))
    header = np.lib.format.header_data_from_array_1_0(first) | {"shape": (count, *first.shape[1:])}
    np.lib.format.write_array_header_1_0(opened, header)
    for part in itertools.chain([first], parts):
        # Not numpy's own write function: its errors do not say why the disk refused the data.
        opened.write(part.tobytes())
        count -= len(part)
    if count:
        raise ValueError(f"{path}: {abs(count)} images too {'few' if count > 0 else 'many'}")


def load(path: Path) -> np.ndarray:
    """Read the images of a .npy file that a stage wrote: uint8 or uint16, [N, H, W] or [N, 3, H, W].

    Raises BadInput if the file is not such an array.
    """
    return np.array(mapped(path))


def mapped(path: Path) -> np.ndarray:
    """The images of `load`, memory-mapped: each is read from disk on access. Changes to the array reach no file."""
    array = mapped_array(path)
    form = array.ndim == 3 or (array.ndim == 4 and array.shape[1] == COLOURS)
    if array.dtype not in LARGEST or not form or 0 in array.shape:
        raise BadInput(
            f"{path} holds {array.dtype} {list(array.shape)}, but uint8 or uint16 images [N, H, W] or [N, 3, H, W] are "
            "expected"
        )
    return array


def mapped_pair(clean: Path, noisy: Path) -> tuple[np.ndarray, np.ndarray]:
    """Clean images and their noisy versions, both as `mapped`. Raises BadInput if their shapes or types differ."""
    pair = mapped(clean), mapped(noisy)
    forms = [f"{array.dtype} {list(array.shape)}" for array in pair]
    if forms[0] != forms[1]:
        raise BadInput(f"{noisy} has {forms[1]}, but {clean} has {forms[0]}")
    return pair


def load_array(path: Path) -> np.ndarray:
    """Read a .npy file without unpickling anything.

    Raises BadInput if it is missing or not a plain array.
    """
    return np.array(mapped_array(path))


def mapped_array(path: Path) -> np.ndarray:
    """The memory-mapped array of a .npy file, of any plain dtype. Data is read on access; changes reach no file.

    First, the size that the header claims is compared with the size of the file. Raises BadInput as `load_array`.
    """
    try:
        with reading.opened(path) as opened:
            header = io.BytesIO(opened.read(LARGEST_HEADER))
            size = os.fstat(opened.fileno()).st_size
            shape, fortran, dtype = _parsed(header)
            claimed = math.prod(shape) * dtype.itemsize
            plain = not dtype.hasobject and dtype.itemsize > 0 and min(shape, default=0) >= 0
            if not plain or claimed > size - header.tell():
                raise ValueError(f"its header claims {dtype} {list(shape)}, the file has {size} bytes")
            if 0 in shape:
                return np.empty(shape, dtype)
            return np.memmap(opened, dtype, "c", header.tell(), shape, "F" if fortran else "C")
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist") from error
    except (OSError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:  # the file is fine, the machine has no memory
            raise MemoryError from error
        raise BadInput(f"{path} is not a .npy array: {error}") from error


def _parsed(header: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and dtype of a .npy header. Raises ValueError for every kind of malformed header."""
    parsers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers that Python 2 wrote
            version = np.lib.format.read_magic(header)
            if version not in parsers:
                raise ValueError(f"its format has the version {version}, but 1.0 or 2.0 is expected")
            shape, fortran, dtype = parsers[version](header)
            return tuple(int(length) for length in shape), fortran, dtype
    except Exception as error:  # numpy evaluates the header as a Python expression, and any of its errors gets out
        said = re.sub(r" at 0x[0-9a-f]+", "", str(error))  # the address of an object of Python
        raise ValueError(f"{type(error).__name__}: {said}"[:300]) from error
