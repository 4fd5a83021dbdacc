"""Inputs of many kinds, restored by a wheel in an empty environment, as one figure: docs/restored-formats.png.

The inputs are made of noisy test digits of the reproduced pipeline.
"""

import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from matplotlib import pyplot as plt
from PIL import Image

from domain_denoiser import layout
from domain_denoiser.core import images, noisy_sets

SHEET = Path("docs/restored-formats.png")
ROWS, COLUMNS = 2, 10  # digits of an input
ROTATED = 6  # EXIF: the camera was held upright
GREYS = 48  # colours of the figure
COLOUR = np.array([1.0, 0.85, 0.6])


def page(digits: np.ndarray, first: int) -> np.ndarray:
    """Digits in rows, float [H, W] in [0, 1]."""
    some = digits[first : first + ROWS * COLUMNS].reshape(ROWS, COLUMNS, 28, 28)
    return some.swapaxes(1, 2).reshape(ROWS * 28, COLUMNS * 28) / 255.0


def whole(unit: np.ndarray, dtype: type) -> np.ndarray:
    return (unit * np.iinfo(dtype).max).round().astype(dtype)


def photo(path: Path, grey: np.ndarray) -> None:
    """Dark strokes on yellowish paper, by a phone that was turned."""
    exif = Image.Exif()
    exif[274] = ROTATED
    upright = whole((1.0 - grey)[..., None] * COLOUR, np.uint8)
    Image.fromarray(np.rot90(upright)).save(path, quality=92, exif=exif)


def palette(path: Path, grey: np.ndarray) -> None:
    Image.fromarray(whole(grey[..., None] * COLOUR, np.uint8)).quantize(64).save(path)


def pages(path: Path, grey: np.ndarray) -> None:
    with tifffile.TiffWriter(path) as writer:
        for half in np.array_split(whole(grey, np.uint8), ROWS):
            writer.write(half)


def folder(path: Path, grey: np.ndarray) -> None:
    (path / "sub").mkdir(parents=True)
    Image.fromarray(whole(grey[:28], np.uint8)).save(path / "a.png")
    np.save(path / "sub/b.npy", grey[28:].astype(np.float32))
    (path / "broken.png").write_bytes((path / "a.png").read_bytes()[:1000])
    (path / "notes.txt").write_text("no image")


# name of input and output, what makes the input, options
CASES: list[tuple[str, str, Callable[[Path, np.ndarray], None], list[str]]] = [
    ("photo.jpg", "photo.png", photo, ["--invert"]),
    ("grey16.tif", "clean.tif", lambda path, grey: tifffile.imwrite(path, whole(grey, np.uint16)), []),
    ("grey16.png", "clean16.png", lambda path, grey: Image.fromarray(whole(grey, np.uint16)).save(path), []),
    ("palette.png", "palette-clean.png", palette, []),
    ("pages.tif", "pages-clean.tif", pages, []),
    ("mixed", "mixed-clean", folder, []),
]


def seen(path: Path) -> tuple[np.ndarray, str]:
    """What a viewer shows, and what the files are."""
    if path.is_dir():
        found = sorted(path.rglob("*.*"))
        kept = [np.load(one) if one.suffix == ".npy" else None for one in found]
        arrays = [whole(array, np.uint8) for array in kept if array is not None]
        return np.vstack([np.asarray(Image.open(path / "a.png")), *arrays]), ", ".join(
            str(one.relative_to(path)) for one in found if one.is_file()
        )
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as opened:
            arrays = [one.asarray() for one in opened.pages]
        return np.vstack(arrays), f"TIFF, {arrays[0].dtype}" + f", {len(arrays)} pages" * (len(arrays) > 1)
    with Image.open(path) as opened:
        turned = opened.getexif().get(274, 1)
        shown = np.rot90(
            np.asarray(opened.convert("RGB") if opened.mode == "P" else opened), -1 if turned == ROTATED else 0
        )
        return shown, f"{opened.format}, {opened.mode}" + f", orientation {turned}" * (turned != 1)


def main() -> None:
    noisy = images.load(layout.NOISE_LEVELS / noisy_sets.level_file("test", 0.5))
    figure, axes = plt.subplots(len(CASES), 2, figsize=(10, 1.35 * len(CASES)), layout="constrained")
    with tempfile.TemporaryDirectory() as temporary:
        there = Path(temporary)
        subprocess.run(["make", "-s", "wheel"], check=True)
        subprocess.run(["uv", "venv", "-q", "--python", sys.executable, there / "environment"], check=True)
        [wheel] = Path("dist").glob("*.whl")
        python = there / "environment/bin/python"
        subprocess.run(["uv", "pip", "install", "-q", "--python", python, wheel.resolve()], check=True)
        for row, (given, output, make, options) in enumerate(CASES):
            make(there / given, page(noisy, row * ROWS * COLUMNS))
            command = ["denoise", "restore", *options, given, output]
            done = subprocess.run(
                [python.parent / "denoise", *command[1:]], cwd=there, capture_output=True, text=True, check=False
            )
            print(" ".join(command), done.returncode, done.stdout + done.stderr, sep="\n")
            for column, name in enumerate((given, output)):
                shown, kind = seen(there / name)
                axes[row, column].imshow(shown, cmap="gray", vmin=0, vmax=np.iinfo(shown.dtype).max)
                axes[row, column].set_title(f"{name}: {kind}", fontsize=8)
                axes[row, column].set_axis_off()
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=80)
    Image.open(drawn).convert("RGB").quantize(GREYS).save(SHEET, optimize=True)  # noise takes much room in full colour


if __name__ == "__main__":
    main()
