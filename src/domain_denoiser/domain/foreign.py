"""Images of other kinds, made of a domain's own and of nothing: the threshold of a profile is set on them.

None of these is among the foreign images that the rates in docs/domain.md are measured on.
"""

from collections.abc import Callable

import numpy as np


def negative(clean: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Dark where the domain is light."""
    return 255 - clean


def twice_as_large(clean: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """The middle, with each pixel four times."""
    height, width = clean.shape[1:]
    large = clean.repeat(2, axis=1).repeat(2, axis=2)
    return large[:, height // 2 : height // 2 + height, width // 2 : width // 2 + width].copy()


def constant(clean: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """One grey value an image."""
    return np.broadcast_to(draw.integers(32, 256, (len(clean), 1, 1), dtype=np.uint8), clean.shape).copy()


def noise(clean: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Grey values that know nothing of each other."""
    return draw.integers(0, 256, clean.shape, dtype=np.uint8)


def texture(clean: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Waves of a drawn length, direction, phase and contrast."""
    height, width = clean.shape[1:]
    angle, length, phase = (
        draw.uniform(*limits, (len(clean), 1, 1)) for limits in ((0, np.pi), (3, 14), (0, 2 * np.pi))
    )
    contrast = draw.uniform(0.2, 0.5, (len(clean), 1, 1))
    across, down = np.arange(width), np.arange(height)[:, None]
    waves = np.sin(2 * np.pi / length * (across * np.cos(angle) + down * np.sin(angle)) + phase)
    return (255 * (0.5 + contrast * waves)).round().astype(np.uint8)


# Each maps clean images of a domain, uint8 [N, H, W], to foreign ones of that shape.
KINDS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "negative": negative,
    "twice_as_large": twice_as_large,
    "constant": constant,
    "noise": noise,
    "texture": texture,
}
