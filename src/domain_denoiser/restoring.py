"""Images of a user in, restored images out: the same kind of file, size and type."""

import errno
import io
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from domain_denoiser import atomic, images, reading
from domain_denoiser.errors import BadInput

AT_ONCE = 800_000  # pixels: about 1,000 images of MNIST's size
LARGEST = 4_096  # pixels a side that a model of any size takes: `conv` needs 3.7 GB for so many
LARGEST_PNG = 2**26  # bytes of a file; 16.8 million pixels that cannot be compressed have 17 million

Size = tuple[int, int] | None  # height and width that a model takes; None: any up to LARGEST
Restore = Callable[[np.ndarray], np.ndarray]  # uint8 or float [N, H, W] -> the same type and shape


def restore_path(restore: Restore, size: Size, source: Path, target: Path) -> int:
    """Restore a .npy file, a PNG, or a folder of PNGs into `target`; returns how many images that were.

    Raises BadInput if the source is nothing of this, or the target is of
    another kind or in the way; then nothing is written.
    """
    if not _exists(source):
        raise BadInput(f"{source} does not exist")
    if _exists(target) and target.samefile(source):
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
        step = max(1, AT_ONCE // (noisy.shape[1] * noisy.shape[2]))
        with _writing(target):
            parts = (restore(noisy[start : start + step]) for start in range(0, len(noisy), step))
            images.save_parts(target, len(noisy), parts)
        return len(noisy)
    restored = restore(read_png(source, size)[None])[0]
    with _writing(target):
        _write_png(target, restored)
    return 1


def _restore_folder(restore: Restore, size: Size, source: Path, target: Path) -> int:
    names = _pictures(source)
    if not names:
        raise BadInput(f"{source} is a folder without .png files")
    if _exists(target) and (not target.is_dir() or any(target.iterdir())):
        raise BadInput(f"{target} is there already; give the name of a new or empty folder")
    with _writing(target), atomic.folder(target) as folder:
        for some in _alike((name, read_png(source / name, size)) for name in names):
            for (name, _), restored in zip(some, restore(np.stack([image for _, image in some]))):
                _write_png(folder / name, restored)
    return len(names)


def _pictures(folder: Path) -> list[str]:
    """The names of the .png files. A link that leads out of the folder is none: it would show what was not given."""
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png")
        inside = folder.resolve()
        outside = [path for path in found if path.is_symlink() and not path.resolve().is_relative_to(inside)]
    except (OSError, RuntimeError) as error:  # a link that leads to itself is a RuntimeError
        raise BadInput(f"{folder} cannot be read: {error}") from error
    if outside:
        raise BadInput(f"{outside[0]} is a link that leads out of {folder}")
    return [path.name for path in found]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError) as error:  # a name that is too long, a folder that may not be looked into
        raise BadInput(f"{path} cannot be reached: {error}") from error


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
        whole = noisy.dtype == np.uint8
        given = images.to_float(noisy, device) if whole else images.from_unit(noisy, device)
        restored = network(given).clamp(0.0, 1.0)
        if restored.isnan().any():
            raise BadInput("the model's weights are so large that it gives no image")
        return images.to_uint8(restored) if whole else images.to_unit(restored, noisy.dtype)

    return restore


def read_array(path: Path, size: Size) -> np.ndarray:
    """uint8 or float images [N, H, W] of a .npy file, mapped; float ones are in [0, 1]. Raises BadInput otherwise."""
    array = images.mapped_array(path)
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
    # As bytes, of which Pillow gets no more than there are, whatever length a part of the file claims.
    content = io.BytesIO(reading.content(path, LARGEST_PNG))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(content, formats=["PNG"]) as opened:
                if not _fits(opened.size[::-1], size):
                    wanted = f"{size[1]} x {size[0]}" if size else f"up to {LARGEST} x {LARGEST}"
                    found = f"{opened.size[0]} x {opened.size[1]}"
                    raise BadInput(f"{path} has {found} pixels, but the model takes {wanted}")
                if opened.mode != "L":
                    raise BadInput(f"{path} has the colour mode {opened.mode}, but 8-bit greyscale (L) is wanted")
                return np.array(opened)
    except (BadInput, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise BadInput(f"{path} is not a whole PNG") from error
    except Exception as error:  # Pillow lets through whatever its parsing of a chunk runs into
        raise BadInput(f"{path} is not a whole PNG: {error}") from error


def _fits(found: tuple[int, int], size: Size) -> bool:
    return found == size if size else max(found) <= LARGEST


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """A place that cannot be written to is bad input, a full disk is none. What is read raises BadInput by itself."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            raise
        raise BadInput(f"{target} cannot be written: {error.strerror}") from error


def _write_png(path: Path, image: np.ndarray) -> None:
    with atomic.file(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")
