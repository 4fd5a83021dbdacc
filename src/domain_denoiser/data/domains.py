"""Other domains that the models are tested on, with images of 28 x 28 pixels. All are uint8 [N, 28, 28]."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from domain_denoiser.core.seeds import derive
from domain_denoiser.data import sources
from domain_denoiser.params import IDX_FILES, Sources

# The text fonts that matplotlib ships.
FONTS = (
    *(f"DejaVuSans{style}.ttf" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}.ttf" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}.ttf" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}.ttf" for style in ("", "Bol", "Italic", "BolIta")),
    *(f"{name}.ttf" for name in ("cmb10", "cmmi10", "cmr10", "cmss10", "cmti10", "cmtt10")),
)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SIZE, FINER = 28, 4  # pixels; letters are drawn FINER times as large and then averaged


def upside_down(digits: np.ndarray) -> np.ndarray:
    """Rotated by 180 degrees."""
    return np.ascontiguousarray(digits[:, ::-1, ::-1])


def inverted(digits: np.ndarray) -> np.ndarray:
    """Black on white."""
    return 255 - digits


def letters(count: int, seed: int, *name: str) -> np.ndarray:
    """`count` white capital letters on black; letter, font, size, tilt and position are drawn for each image."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts/ttf"
    draw = np.random.default_rng(derive(seed, "letters", *name))
    fonts = {
        (font, size): ImageFont.truetype(folder / font, size * FINER) for font in FONTS for size in (18, 20, 22, 24)
    }
    sizes = list(fonts)
    made = np.empty((count, SIZE, SIZE), np.uint8)
    side = SIZE * FINER
    for image in made:
        letter, font = LETTERS[draw.integers(len(LETTERS))], fonts[sizes[draw.integers(len(sizes))]]
        tilt, (across, down) = draw.uniform(-12.0, 12.0), draw.uniform(-2.0, 2.0, 2) * FINER
        canvas = Image.new("L", (side, side))
        middle = (side / 2 + across, side / 2 + down)
        left, top, right, bottom = font.getbbox(letter)
        at = (middle[0] - (left + right) / 2, middle[1] - (top + bottom) / 2)
        ImageDraw.Draw(canvas).text(at, letter, fill=255, font=font)
        turned = canvas.rotate(tilt, Image.Resampling.BILINEAR, center=middle)
        image[:] = np.asarray(turned).reshape(SIZE, FINER, SIZE, FINER).mean((1, 3)).round()
    return made


def fashion(given: Sources, where: str, report: Callable[[str], None]) -> tuple[sources.Labelled, sources.Labelled]:
    """The training and test images of Fashion-MNIST, from the first source whose files have the checksums in `given`.

    where: the place of the sources, for messages.

    Raises sources.Unserved, with each source and its reason, if every source failed.
    """
    reasons = []
    for source in given.sources:
        with tempfile.TemporaryDirectory() as folder:
            try:
                place = _downloaded(Path(folder), given) if source == "torchvision" else source
                return sources.obtain(given.model_copy(update={"sources": [place]}), where, report)
            except sources.SourceFailed as error:
                reasons.append(f"{source}: {error}")
                report(reasons[-1])
            except sources.Unserved as error:
                reasons += error.reasons
    raise sources.Unserved("Fashion-MNIST", where, reasons)


def _downloaded(folder: Path, given: Sources) -> str:
    """Download every file from torchvision's first mirror; return the source for sources.obtain, which checks them."""
    from torchvision.datasets import FashionMNIST

    deadline = time.monotonic() + given.limit_s
    for name in IDX_FILES:
        content = sources.get(f"{FashionMNIST.mirrors[0]}{name}.gz", given.timeout_s, deadline)
        (folder / f"{name}.gz").write_bytes(content)
    return f"dir:{folder}"
