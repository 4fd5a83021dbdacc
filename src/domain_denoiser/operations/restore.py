"""Images of a user in, restored images out: the same kind of file, size and type."""

import errno
import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from domain_denoiser.base import atomic, reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import images

BATCH = 800_000  # pixels: about 1,000 images of MNIST's size
LARGEST = 4_096  # pixels a side that a model of any size takes: `conv` needs 3.7 GB for so many
LARGEST_PNG = 2**26  # bytes of a file; 16.8 million pixels that cannot be compressed have 17 million

ROUNDING = 1e-6  # how far outside [0, 1] a float image may lie: what float32 arithmetic leaves; it is clipped

Size = tuple[int, int] | None  # height and width that a model takes; None: any up to LARGEST
Restore = Callable[[np.ndarray], np.ndarray]  # uint8 or float [N, H, W] -> the same type and shape
Note = Callable[[str], None]  # is given a line about an input that was changed before it was restored


def _no_notes(line: str) -> None:
    """Whoever calls does not want them."""


def restore_paths(restore: Restore, size: Size, sources: Sequence[Path], target: Path, note: Note = _no_notes) -> int:
    """Restore each of several inputs into the new or empty folder `target`; one alone as `restore_path` does.

    A file keeps its name there, a folder its name with its PNGs in it. Returns how many images that were.
    Raises BadInput as `restore_path`, and if two inputs would become one file; then nothing is written.
    """
    [first, *others] = sources
    if not others and (_is_folder(first) or not _is_folder(target) or target.suffix.lower() == first.suffix.lower()):
        return restore_path(restore, size, first, target, note)
    found: dict[Path, Path] = {}  # path in the output -> input
    for source in sources:
        for path, place in _files_of(source):
            if place in found:
                raise BadInput(f"{found[place]} and {path} would both become {target / place}")
            found[place] = path
    return _restore_into_folder(restore, size, found, target, note)


def restore_path(restore: Restore, size: Size, source: Path, target: Path, note: Note = _no_notes) -> int:
    """Restore a .npy file, a PNG, or a folder of PNGs into `target`; returns how many images that were.

    Raises BadInput if the source is nothing of this, or the target is of
    another kind or in the way; then nothing is written.
    """
    kind = _kind(source)
    if _exists(target) and target.samefile(source):
        raise BadInput(f"{target} is the input itself; give the output another name")
    if source.is_dir():
        return _restore_into_folder(restore, size, {Path(name): source / name for name in _pictures(source)}, target)
    if target.suffix.lower() != kind or target.is_dir():
        raise BadInput(f"{target} must be a {kind} file, as the input is")
    if kind == ".npy":
        noisy = read_array(source, size, note)
        with _writing(target):
            images.save_parts(target, len(noisy), _in_parts(restore, noisy))
        return len(noisy)
    restored = restore(read_png(source, size)[None])[0]
    with _writing(target), atomic.file(target) as temporary:
        _write_png(temporary, restored)
    return 1


def _restore_into_folder(
    restore: Restore, size: Size, found: Mapping[Path, Path], target: Path, note: Note = _no_notes
) -> int:
    """Restore files, given as path in the output -> input, into a folder that is there whole or not at all."""
    if _exists(target) and (not target.is_dir() or any(target.iterdir())):
        raise BadInput(f"{target} is there already; give the name of a new or empty folder")
    pictures = {place: path for place, path in found.items() if path.suffix.lower() == ".png"}
    count = len(pictures)
    # The folder is new and becomes visible as a whole, so each file in it is written at its place, without a look
    # at all the others.
    with _writing(target), atomic.folder(target) as folder:
        for parent in {place.parent for place in found}:
            (folder / parent).mkdir(exist_ok=True)
        for some in _alike((place, read_png(path, size)) for place, path in pictures.items()):
            for (place, _), restored in zip(some, restore(np.stack([image for _, image in some]))):
                _write_png(folder / place, restored)
        for place, path in found.items():
            if place in pictures:
                continue
            noisy = read_array(path, size, note)
            with (folder / place).open("wb") as opened:
                images.write_parts(opened, target / place, len(noisy), _in_parts(restore, noisy))
            count += len(noisy)
    return count


def _files_of(source: Path) -> list[tuple[Path, Path]]:
    """An input's files, each with its place in the folder of the output."""
    if _kind(source) is not None:
        return [(source, Path(source.name))]
    name = source.resolve().name  # of `.` and `..` too
    return [(source / picture, Path(name, picture)) for picture in _pictures(source)]


def _kind(source: Path) -> str | None:
    """.npy or .png; None for a folder. Raises BadInput for everything else."""
    if not _exists(source):
        raise BadInput(f"{source} does not exist")
    if source.is_dir():
        return None
    kind = source.suffix.lower()
    if kind not in (".npy", ".png"):
        raise BadInput(f"{source} is neither a .npy file nor a .png file nor a folder of PNGs")
    return kind


def _is_folder(path: Path) -> bool:
    return _exists(path) and path.is_dir()


def _in_parts(restore: Restore, noisy: np.ndarray) -> Iterator[np.ndarray]:
    step = max(1, BATCH // (noisy.shape[1] * noisy.shape[2]))
    return (restore(noisy[start : start + step]) for start in range(0, len(noisy), step))


def _pictures(folder: Path) -> list[str]:
    """The names of the .png files, at least one.

    A link that leads out of the folder is refused: it would show what was not given.
    """
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png")
        inside = folder.resolve()
        outside = [path for path in found if path.is_symlink() and not path.resolve().is_relative_to(inside)]
    except (OSError, RuntimeError) as error:  # a link that leads to itself is a RuntimeError
        raise BadInput(f"{folder} cannot be read: {error}") from error
    if outside:
        raise BadInput(f"{outside[0]} is a link that leads out of {folder}")
    if not found:
        raise BadInput(f"{folder} is a folder without .png files")
    return [path.name for path in found]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError) as error:  # a name that is too long, a folder that may not be looked into
        raise BadInput(f"{path} cannot be reached: {error}") from error


def _alike(named: Iterable[tuple[Path, np.ndarray]]) -> Iterator[list[tuple[Path, np.ndarray]]]:
    """Neighbours of one size together, as many as are restored at once."""
    some: list[tuple[Path, np.ndarray]] = []
    for name, image in named:
        if some and (image.shape != some[0][1].shape or (len(some) + 1) * image.size > BATCH):
            yield some
            some = []
        some.append((name, image))
    if some:
        yield some


def restorer(network: "object", device: "object") -> Restore:
    """What restores arrays with a network: float images in [0, 1], or uint8 ones."""
    import torch

    @torch.inference_mode()
    def restore(noisy: np.ndarray) -> np.ndarray:
        whole = noisy.dtype == np.uint8
        given = images.to_float(noisy, device) if whole else images.from_unit(noisy, device).clamp(0.0, 1.0)
        restored = network(given).clamp(0.0, 1.0)
        if restored.isnan().any():
            raise BadInput("the model's weights are so large that it gives no image")
        return images.to_uint8(restored) if whole else images.to_unit(restored, noisy.dtype)

    return restore


def read_array(path: Path, size: Size, note: Note = _no_notes) -> np.ndarray:
    """uint8 or float images [N, H, W] of a .npy file, mapped; float ones are in [0, 1], within ROUNDING.

    note: is given a line if values lie outside [0, 1]. Raises BadInput if the file holds nothing of this.
    """
    array = images.mapped_array(path)
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise BadInput(f"{path} holds {array.dtype} values, but uint8 or float ones are wanted")
    if array.ndim != 3 or 0 in array.shape or not _fits(array.shape[1:], size):
        wanted = f"[N, {size[0]}, {size[1]}]" if size else f"[N, H, W], H and W up to {LARGEST}"
        raise BadInput(f"{path} has the shape {list(array.shape)}, but the model takes {wanted}")
    if array.dtype.kind == "f":
        low, high = array.min(), array.max()
        found = f"{path} has values from {low!s} to {high!s}"  # all digits: none may be rounded to a limit
        # A NaN fails both comparisons.
        if not (low >= -ROUNDING and high <= 1.0 + ROUNDING):
            raise BadInput(f"{found}, but float images lie in [0, 1]")
        if low < 0.0 or high > 1.0:
            note(f"{found}; those outside [0, 1] are clipped to it")
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
    Image.fromarray(image).save(path, format="PNG")
