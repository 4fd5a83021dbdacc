"""Images of a user in, restored images out: the same kind of file, size and type."""

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from domain_denoiser import atomic, images
from domain_denoiser.errors import BadInput

AT_ONCE = 800_000  # pixels: about 1,000 images of MNIST's size
LARGEST = 4_096  # pixels a side that a model of any size takes: `conv` needs 3.7 GB for so many

Size = tuple[int, int] | None  # height and width that a model takes; None: any up to LARGEST
Restore = Callable[[np.ndarray], np.ndarray]  # uint8 or float [N, H, W] -> the same type and shape


def restore_path(restore: Restore, size: Size, source: Path, target: Path) -> int:
    """Restore a .npy file, a PNG, or a folder of PNGs into `target`; returns how many images that were.

    Raises BadInput if the source is nothing of this, or the target is of
    another kind or in the way; then nothing is written.
    """
    if not source.exists():
        raise BadInput(f"{source} does not exist")
    if target.exists() and target.samefile(source):
        raise BadInput(f"{target} is the input itself; give the output another name")
    if source.is_dir():
        return _restore_folder(restore, size, source, target)
    kind = source.suffix.lower()
    if kind not in (".npy", ".png"):
        raise BadInput(f"{source} is neither a .npy file nor a .png file nor a folder of them")
    if target.suffix.lower() != kind or target.is_dir():
        raise BadInput(f"{target} must be a {kind} file, as the input is")
    if kind == ".npy":
        noisy = read_array(source, size)
        restored = restore(noisy)
        with _writing(target):
            images.save(target, restored)
        return len(noisy)
    restored = restore(read_png(source, size)[None])[0]
    with _writing(target):
        _write_png(target, restored)
    return 1


def _restore_folder(restore: Restore, size: Size, source: Path, target: Path) -> int:
    names = sorted(path.name for path in source.iterdir() if path.suffix.lower() == ".png")
    if not names:
        raise BadInput(f"{source} is a folder without .png files")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadInput(f"{target} is there already; give the name of a new or empty folder")
    with _writing(target), atomic.folder(target) as folder:
        for some in _alike((name, read_png(source / name, size)) for name in names):
            for (name, _), restored in zip(some, restore(np.stack([image for _, image in some]))):
                _write_png(folder / name, restored)
    return len(names)


def _alike(named: Iterable[tuple[str, np.ndarray]]) -> Iterator[list[tuple[str, np.ndarray]]]:
    """Neighbours of one size together, as many as are restored at once."""
    some: list[tuple[str, np.ndarray]] = []
    for name, image in named:
        if some and (image.shape != some[0][1].shape or (len(some) + 1) * image.size > AT_ONCE):
            yield some
            some = []
        some.append((name, image))
    yield some


def restorer(network: "object", device: "object") -> Restore:
    """What restores arrays with a network: float images in [0, 1], or uint8 ones."""
    import torch

    @torch.inference_mode()
    def restore(noisy: np.ndarray) -> np.ndarray:
        parts, step = [], max(1, AT_ONCE // (noisy.shape[1] * noisy.shape[2]))
        for start in range(0, len(noisy), step):
            part = noisy[start : start + step]
            whole = part.dtype == np.uint8
            given = images.to_float(part, device) if whole else images.from_unit(part, device)
            restored = network(given).clamp(0.0, 1.0)
            parts.append(images.to_uint8(restored) if whole else images.to_unit(restored, part.dtype))
        return np.concatenate(parts, dtype=noisy.dtype)

    return restore


def read_array(path: Path, size: Size) -> np.ndarray:
    """uint8 or float images [N, H, W] of a .npy file; float ones must be in [0, 1]. Raises BadInput otherwise."""
    array = images.load_array(path)
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise BadInput(f"{path} holds {array.dtype} values, but uint8 or float ones are wanted")
    if array.ndim != 3 or 0 in array.shape or not _fits(array.shape[1:], size):
        wanted = f"[N, {size[0]}, {size[1]}]" if size else f"[N, H, W], H and W up to {LARGEST}"
        raise BadInput(f"{path} has the shape {list(array.shape)}, but the model takes {wanted}")
    # A NaN fails both comparisons.
    if array.dtype.kind == "f" and not (array.min() >= 0.0 and array.max() <= 1.0):
        raise BadInput(f"{path} has values from {array.min():g} to {array.max():g}, but float images lie in [0, 1]")
    return array


def read_png(path: Path, size: Size) -> np.ndarray:
    """uint8 [H, W] of a greyscale PNG. Raises BadInput otherwise, before an image of another size is decoded."""
    try:
        with Image.open(path, formats=["PNG"]) as opened:
            if not _fits(opened.size[::-1], size):
                wanted = f"{size[1]} x {size[0]}" if size else f"up to {LARGEST} x {LARGEST}"
                raise BadInput(f"{path} has {opened.size[0]} x {opened.size[1]} pixels, but the model takes {wanted}")
            if opened.mode != "L":
                raise BadInput(f"{path} has the colour mode {opened.mode}, but 8-bit greyscale (L) is wanted")
            return np.array(opened)
    except (
        OSError,
        UnidentifiedImageError,
        SyntaxError,
        ValueError,
        struct.error,
        Image.DecompressionBombError,
    ) as error:
        raise BadInput(f"{path} is not a whole PNG: {error}") from error


def _fits(found: tuple[int, int], size: Size) -> bool:
    return found == size if size else max(found) <= LARGEST


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """A place that cannot be written to is bad input: what is read raises BadInput by itself."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"{target} cannot be written: {error.strerror}") from error


def _write_png(path: Path, image: np.ndarray) -> None:
    with atomic.file(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")
