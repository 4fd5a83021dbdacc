"""Images of other kinds, made of a domain's own and of nothing: the threshold of a profile is set on them.

None of these is among the foreign images that the rates in docs/domain.md are measured on.
"""

from collections.abc import Callable

import numpy as np

from domain_denoiser.core import images


def negative(clean: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Dark where the domain is light."""
    return _white(clean) - clean


def twice_as_large(clean: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """The middle, with each pixel four times."""
    height, width = clean.shape[-2:]
    large = clean.repeat(2, axis=-2).repeat(2, axis=-1)
    return large[..., height // 2 : height // 2 + height, width // 2 : width // 2 + width].copy()


def constant(clean: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """One value for all pixels of an image; in colour one for each channel."""
    white = _white(clean)
    drawn = draw.integers((white + 1) // 8, white + 1, (*clean.shape[:-2], 1, 1), dtype=clean.dtype)
    return np.broadcast_to(drawn, clean.shape).copy()


def noise(clean: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Values that know nothing of each other."""
    return draw.integers(0, _white(clean) + 1, clean.shape, dtype=clean.dtype)


def texture(clean: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Waves of a drawn length, direction, phase and contrast; grey, also among colour images."""
    height, width = clean.shape[-2:]
    each = (len(clean), *(1 for _ in clean.shape[1:]))
    angle, length, phase = (draw.uniform(*limits, each) for limits in ((0, np.pi), (3, 14), (0, 2 * np.pi)))
    contrast = draw.uniform(0.2, 0.5, each)
    across, down = np.arange(width), np.arange(height)[:, None]
    waves = np.sin(2 * np.pi / length * (across * np.cos(angle) + down * np.sin(angle)) + phase)
    grey = (_white(clean) * (0.5 + contrast * waves)).round().astype(clean.dtype)
    return np.broadcast_to(grey, clean.shape).copy()


def _white(clean: np.ndarray) -> int:
    return images.LARGEST[clean.dtype]


# Each maps clean images of a domain, as they lie on disk, to foreign ones of that form.
KINDS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "negative": negative,
    "twice_as_large": twice_as_large,
    "constant": constant,
    "noise": noise,
    "texture": texture,
}
