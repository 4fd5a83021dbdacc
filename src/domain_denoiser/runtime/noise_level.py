"""How strong the noise of images is, and whether it is independent from pixel to pixel.

The noise is that of the models: clip(x + sigma * N(0, 1), 0, 1). Half of it is cut off where x is black or white, so
the median of the finest diagonal wavelet details (Donoho and Johnstone, Biometrika 81, 1994) is too small there. This
estimate looks at the same blocks of 2 x 2 pixels, but knows of the clipping, as that of Foi (Signal Processing 89,
2009) does.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

LEVELS = 256  # to which pixels are rounded
BINS = 64  # of the sum of two pixels; the first and the last are for two black and for two white ones alone
STEPS = 20  # of expectation and maximisation
SIGMAS = (0.005, 2.0, 16)  # least, greatest, how many are tried at first
PRECISION = 0.02  # of the logarithm of sigma
LEAST_BLOCKS = 100  # of 2 x 2 pixels, of which an estimate is made
WHITE = -0.5  # the correlation of neighbouring diagonal details of white noise: they share two pixels, of other signs
APART = 0.15  # from WHITE, at most, in noise that is called independent


class Counts(NamedTuple):
    """All that is kept of images."""

    blocks: np.ndarray  # int64 [BINS, BINS]: of the sums of the two diagonals of 2 x 2 pixels
    neighbours: np.ndarray  # int64 [2, 2, 4 * LEVELS]: across, down; the sum, the difference of neighbouring details

    def with_more(self, other: "Counts") -> "Counts":
        """Those of both."""
        return Counts(self.blocks + other.blocks, self.neighbours + other.neighbours)


def counts(images: np.ndarray) -> Counts:
    """Of float images [N, H, W] in [0, 1] of any size."""
    pixels = (images * (LEVELS - 1)).round().astype(np.int32)
    upper, lower = pixels[:, :-1], pixels[:, 1:]
    falling, rising = upper[..., :-1] + lower[..., 1:], upper[..., 1:] + lower[..., :-1]
    bins = _bins()
    blocks = bins[falling[:, ::2, ::2]] * BINS + bins[rising[:, ::2, ::2]]
    detail = falling - rising
    pairs = (detail[..., 1:], detail[..., :-1]), (detail[:, 1:], detail[:, :-1])
    return Counts(
        np.bincount(blocks.ravel(), minlength=BINS**2).reshape(BINS, BINS),
        np.array([[_counted(one + other), _counted(one - other)] for one, other in pairs]),
    )


def sigma(found: Counts) -> float | None:
    """The standard deviation of the noise before clipping, in units of the range; None if there are too few pixels.

    In a flat block the sums of its diagonals are independent draws of one distribution, which the block's clean value
    and sigma give; where the block is a slope, nearly so. The clean values have any distribution (Kiefer and Wolfowitz,
    Annals of Mathematical Statistics 27, 1956), and some blocks are edges, whose sums are anything. The estimate is the
    sigma of the greatest likelihood.
    """
    if found.blocks.sum() < LEAST_BLOCKS:
        return None
    least, greatest, number = SIGMAS
    tried = np.log(np.geomspace(least, greatest, number))
    best = int(np.argmax([_likelihood(found.blocks, each) for each in tried]))
    low, high = tried[max(best - 1, 0)], tried[min(best + 1, number - 1)]
    while high - low > PRECISION:  # thirds: between neighbours there is one maximum
        first, second = low + (high - low) / 3, high - (high - low) / 3
        if _likelihood(found.blocks, first) > _likelihood(found.blocks, second):
            high = second
        else:
            low = first
    return math.exp((low + high) / 2)


def correlations(found: Counts) -> tuple[float, float]:
    """Of neighbouring diagonal details, across and down: WHITE if the noise is independent from pixel to pixel.

    By the medians of sums and differences (Gnanadesikan and Kettenring, Biometrics 28, 1972), which edges hardly move.
    0 where there is no noise.
    """
    across, down = ([_median(each) ** 2 for each in pair] for pair in found.neighbours)
    return _contrast(*across), _contrast(*down)


def independent(found: Counts) -> bool:
    """Whether `correlations` says so. Noise that was blurred by a mean of 3 x 3 pixels has more than -0.3."""
    return all(abs(each - WHITE) <= APART for each in correlations(found))


def _likelihood(blocks: np.ndarray, log_sigma: float) -> float:
    """The mean logarithm of the likelihood of the blocks at this sigma, for the clean values that fit it best."""
    chances = _chances(log_sigma)
    width = np.bincount(_bins()) / (2 * LEVELS - 1)
    anything = np.outer(width, width)
    weights, edges = np.full(len(chances), 0.9 / len(chances)), 0.1
    total = blocks.sum()
    for _ in range(STEPS):
        ratio = blocks / ((chances.T * weights) @ chances + edges * anything)
        weights = weights * ((chances @ ratio) * chances).sum(axis=1) / total
        edges = edges * (ratio * anything).sum() / total
    return float((blocks * np.log((chances.T * weights) @ chances + edges * anything)).sum() / total)


@functools.lru_cache(maxsize=64)
def _chances(log_sigma: float) -> np.ndarray:
    """[BINS + 1, BINS]: for clean values from 0 to 1, the distribution of the sum of two pixels over the bins."""
    clean = np.linspace(0.0, 1.0, BINS + 1)[:, None]
    limits = (np.arange(LEVELS - 1) + 0.5) / (LEVELS - 1)
    below = _normal((limits - clean) / math.exp(log_sigma))
    levels = np.diff(below, axis=1, prepend=0.0, append=1.0)
    spectrum = np.fft.rfft(levels, 2 * LEVELS, axis=1)
    sums = np.fft.irfft(spectrum**2, 2 * LEVELS, axis=1)[:, : 2 * LEVELS - 1].clip(0.0)
    return np.add.reduceat(sums, np.searchsorted(_bins(), np.arange(BINS)), axis=1)


@functools.lru_cache(maxsize=1)
def _bins() -> np.ndarray:
    """int64 [2 * LEVELS - 1]: the bin of each sum of two pixels."""
    last = 2 * LEVELS - 2
    sums = np.arange(1, last)
    return np.concatenate([[0], 1 + (sums - 1) * (BINS - 2) // (last - 1), [BINS - 1]])


@functools.lru_cache(maxsize=1)
def _table() -> tuple[np.ndarray, np.ndarray]:
    at = np.linspace(-6.0, 6.0, 4001)
    return at, np.array([0.5 + 0.5 * math.erf(each / math.sqrt(2)) for each in at])


def _normal(values: np.ndarray) -> np.ndarray:
    """The normal distribution function, from a table: NumPy has none."""
    return np.interp(values, *_table())


def _counted(values: np.ndarray) -> np.ndarray:
    return np.bincount(np.abs(values).ravel(), minlength=4 * LEVELS)


def _median(counted: np.ndarray) -> int:
    return int(np.searchsorted(counted.cumsum(), counted.sum() / 2))


def _contrast(one: float, other: float) -> float:
    return (one - other) / (one + other) if one + other else 0.0
