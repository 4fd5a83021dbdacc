"""Pillow's images as arrays, and back."""

import numpy as np
from PIL import Image


def pixels(image: Image.Image, grey: bool) -> np.ndarray:
    """The samples [H, W, C], with alpha: bool for 1 bit, uint16 for 16, else uint8.

    A palette is looked up; grey says that it has nothing but grey values.
    """
    if image.mode == "P":
        alpha = "A" if "transparency" in image.info else ""
        image = image.convert(("L" if grey else "RGB") + alpha)
    bilevel = image.mode == "1"
    found = np.asarray(image.convert("L") if bilevel else image)  # of 1 bit, numpy would get bytes of 255 for True
    return (found != 0 if bilevel else found).reshape(*found.shape[:2], -1)


def image(pixels: np.ndarray) -> Image.Image:
    """The inverse: bool or uint16 [H, W, 1], or uint8 [H, W, 1 to 4]."""
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels))


def has_grey_palette(image: Image.Image) -> bool:
    """Whether all colours of its palette are grey."""
    colours = image.getpalette() or []
    return colours[0::3] == colours[1::3] == colours[2::3]
