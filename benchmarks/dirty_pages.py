"""Pages of text in Debian's fonts, and the same pages as if they were old: what `own_images.py documents` learns.

The text is that of the GNU General Public License, which every Debian has, from a place that is drawn.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from domain_denoiser.base.errors import BadInput

FONTS = Path("/usr/share/fonts/truetype/dejavu")  # Debian's fonts-dejavu-core and fonts-dejavu-extra
WORDS = Path("/usr/share/common-licenses/GPL-3")
HEIGHT, WIDTH = 800, 600  # pixels of a page
MARGIN = 36  # pixels
SIZES = (14, 22)  # pixels of a line of text, from and below
SPACING = 1.35  # lines a line


class Page(NamedTuple):
    """A page and what stands on it."""

    image: np.ndarray  # uint8 [H, W]
    text: str


def page(draw: np.random.Generator) -> Page:
    """A white page with black text in a font, size and number of columns that are drawn."""
    fonts, words = sorted(FONTS.glob("*.ttf")), re.findall(r"[A-Za-z]+[.,;]?", WORDS.read_text())
    if not fonts:
        raise BadInput(f"{FONTS} holds no fonts; Debian's package fonts-dejavu-core has them")
    font = ImageFont.truetype(fonts[draw.integers(len(fonts))], int(draw.integers(*SIZES)))
    columns = int(draw.integers(1, 3))
    width = (WIDTH - MARGIN * (columns + 1)) // columns
    image = Image.new("L", (WIDTH, HEIGHT), 255)
    pen, left = ImageDraw.Draw(image), words[draw.integers(len(words) // 2) :]
    written = []
    for column in range(columns):
        top = MARGIN
        while top + font.size * SPACING < HEIGHT - MARGIN:
            line = _line(left, font, width)
            pen.text((MARGIN + column * (width + MARGIN), top), " ".join(line), font=font, fill=0)
            written, left = written + line, left[len(line) :]
            top += round(font.size * SPACING)
    return Page(np.asarray(image), " ".join(written))


def _line(words: list[str], font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """As many words as fit, at least one."""
    count = 1
    while font.getlength(" ".join(words[: count + 1])) <= width:
        count += 1
    return words[:count]


def dirty(clean: np.ndarray, behind: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A page, uint8 [H, W], on stained and uneven paper, faded, with what stands `behind` it, blurred and with noise.

    noisy = paper * (1 - fading * ink) + noise, with the ink of both sides, paper and fading in [0, 1].
    """
    ink = 1 - _blurred(clean, draw.uniform(0.4, 1.0)) / 255  # [H, W]
    through = 1 - _blurred(_of_size(behind[:, ::-1], clean.shape), draw.uniform(1.0, 2.0)) / 255
    ink = np.maximum(ink, draw.uniform(0.05, 0.3) * through)
    fading = 1 - draw.uniform(0.1, 0.5) * _field(clean.shape, 5, draw)
    paper = 1 - draw.uniform(0.05, 0.3) * _field(clean.shape, 4, draw) - 0.04 * _field(clean.shape, 120, draw)
    for _ in range(draw.integers(1, 6)):
        paper = paper * (1 - _stain(clean.shape, draw))
    noise = draw.uniform(0.02, 0.08) * draw.standard_normal(clean.shape)
    return (255 * np.clip(paper * (1 - fading * ink) + noise, 0, 1)).round().astype(np.uint8)


def _blurred(image: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def _of_size(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize(shape[::-1]))


def _field(shape: tuple[int, int], cells: int, draw: np.random.Generator) -> np.ndarray:
    """A random surface from 0 to 1, smooth between so many cells a side."""
    coarse = Image.fromarray(draw.random((cells, cells), np.float32))
    return np.clip(np.asarray(coarse.resize(shape[::-1], Image.Resampling.BICUBIC)), 0, 1)


def _stain(shape: tuple[int, int], draw: np.random.Generator) -> np.ndarray:
    """How much paper a blot darkens, from 0 to 1: a disc with a ragged, darker rim, as of spilt coffee."""
    across, along = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    centre, radius = draw.uniform(0, shape), draw.uniform(0.05, 0.25) * max(shape)
    ragged = 1 + 0.2 * (_field(shape, 12, draw) - 0.5)
    distance = np.hypot(across - centre[0], along - centre[1]) / (radius * ragged)  # 1 at the rim
    disc, rim = 0.5 * (1 - np.tanh(20 * (distance - 1))), np.exp(-(((distance - 1) / 0.04) ** 2))
    return draw.uniform(0.1, 0.4) * (0.6 * disc + 0.4 * rim)
