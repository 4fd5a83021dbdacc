"""Nuclei of cells under a fluorescence microscope, drawn: what `own_images.py micrographs` learns. No real micrograph.

Real ones of 16 bits have the noise of their camera already; these have a clean image, of 16 bits in truth.
"""

import numpy as np
from scipy import ndimage

SIDE = 1536  # pixels of the field that regions are cut from
NUCLEI = 650
RADII = (7.0, 17.0)  # pixels of the half axes
BLUR = 1.3  # pixels: the microscope's point spread, as a Gaussian
TEXTURE = 0.2  # standard deviation of the brightness within a nucleus, of its mean
FAINT = 0.12  # median brightness of a nucleus, of white
DIVIDING = 0.05  # share of nuclei that are small and bright


def field(draw: np.random.Generator) -> np.ndarray:
    """A field of nuclei on a glow that is not even, uint16 [SIDE, SIDE]."""
    light = 0.025 + 0.005 * _smooth(draw, SIDE / 6).clip(-3, 3)
    texture = np.exp(TEXTURE * _smooth(draw, 2.5))
    for _ in range(NUCLEI):
        _add(light, texture, draw)
    return (65_535 * np.clip(ndimage.gaussian_filter(light, BLUR), 0, 1)).round().astype(np.uint16)


def _smooth(draw: np.random.Generator, scale: float) -> np.ndarray:
    """A random surface of mean 0 and standard deviation 1 that changes over so many pixels."""
    rough = ndimage.gaussian_filter(draw.standard_normal((SIDE, SIDE)), scale, mode="wrap")
    return (rough - rough.mean()) / rough.std()


def _add(light: np.ndarray, texture: np.ndarray, draw: np.random.Generator) -> None:
    """Add one nucleus to the light, an ellipse with the texture."""
    divides = draw.random() < DIVIDING
    axes = draw.uniform(*RADII, 2) * (0.4 if divides else 1.0)
    brightness = min(1.0, FAINT * draw.lognormal(0.0, 0.5) * (5 if divides else 1))
    reach = int(max(axes)) + 2
    top, left = draw.integers(0, SIDE - 2 * reach, 2)
    part = np.s_[top : top + 2 * reach, left : left + 2 * reach]
    turned, (down, right) = draw.uniform(0, np.pi), np.mgrid[-reach:reach, -reach:reach]
    along = np.cos(turned) * down + np.sin(turned) * right
    across = np.cos(turned) * right - np.sin(turned) * down
    inside = np.hypot(along / axes[0], across / axes[1]) < 1
    light[part] += np.where(inside, brightness * texture[part], 0.0)
