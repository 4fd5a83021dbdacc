"""The image convention: uint8 [N, H, W] on disk, float32 [N, 1, H, W] in [0, 1] in memory."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING

import numpy as np

from domain_denoiser import atomic
from domain_denoiser.errors import BadInput

if TYPE_CHECKING:
    import torch


def to_float(images: np.ndarray, device: "torch.device | str") -> "torch.Tensor":
    """uint8 [N, H, W] -> float32 [N, 1, H, W] in [0, 1] on `device`."""
    import torch

    return scaled(torch.from_numpy(np.ascontiguousarray(images)).to(device))


def scaled(images: "torch.Tensor") -> "torch.Tensor":
    """uint8 [N, H, W] -> float32 [N, 1, H, W] in [0, 1] on the same device; floats stay as they are."""
    return images if images.is_floating_point() else images.unsqueeze(1) / 255.0


def from_unit(images: np.ndarray, device: "torch.device | str") -> "torch.Tensor":
    """float [N, H, W] in [0, 1], of any width and byte order -> float32 [N, 1, H, W] on `device`."""
    import torch

    return torch.from_numpy(images.astype(np.float32)).to(device).unsqueeze(1)


def to_unit(images: "torch.Tensor", dtype: np.dtype) -> np.ndarray:
    """float32 [N, 1, H, W] in [0, 1] -> [N, H, W] of a float type."""
    return images.squeeze(1).cpu().numpy().astype(dtype)


def to_uint8(images: "torch.Tensor") -> np.ndarray:
    """float [N, 1, H, W] in [0, 1] -> uint8 [N, H, W], rounded to the nearest grey value."""
    import torch

    return images.squeeze(1).mul(255.0).round().to(torch.uint8).cpu().numpy()


def save(path: Path, array: np.ndarray) -> None:
    """Write an array as .npy, whole or not at all."""
    with atomic.file(path) as temporary, temporary.open("wb") as opened:
        np.save(opened, array, allow_pickle=False)


def save_parts(path: Path, count: int, parts: Iterable[np.ndarray]) -> None:
    """Write `count` images that come in parts, uint8 [n, H, W] each, as `save` would write them together."""
    parts = iter(parts)
    first = next(parts)
    with atomic.file(path) as temporary, temporary.open("wb") as opened:
        described = np.lib.format.header_data_from_array_1_0(first) | {"shape": (count, *first.shape[1:])}
        np.lib.format.write_array_header_1_0(opened, described)
        for part in itertools.chain([first], parts):
            opened.write(part.tobytes())
            count -= len(part)
        if count:
            raise ValueError(f"{path}: {abs(count)} images too {'few' if count > 0 else 'many'}")


def load(path: Path) -> np.ndarray:
    """Read the uint8 images [N, H, W] of a .npy file that a stage wrote.

    Raises BadInput if the file is not such an array.
    """
    return np.array(mapped(path))


def mapped(path: Path) -> np.ndarray:
    """The same images, but each read from the disk when it is asked for; what is written into them reaches no file."""
    array = _map(path)
    if array.dtype != np.uint8 or array.ndim != 3 or 0 in array.shape:
        raise BadInput(f"{path} holds {array.dtype} {list(array.shape)}, but uint8 images [N, H, W] are wanted")
    return array


def load_array(path: Path) -> np.ndarray:
    """Read a .npy file without unpickling anything.

    Raises BadInput if it is missing or no plain array.
    """
    return np.array(_map(path))


def _map(path: Path) -> np.ndarray:
    """A file is mapped before it is read, so that a header cannot claim more than the file holds."""
    try:
        return np.lib.format.open_memmap(path, mode="c")
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist") from error
    except (OSError, ValueError, EOFError, SyntaxError, OverflowError, RecursionError, TokenError, TypeError) as error:
        raise BadInput(f"{path} is not a .npy array: {error}") from error
