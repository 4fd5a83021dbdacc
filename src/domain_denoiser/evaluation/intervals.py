"""Confidence intervals of differences: paired bootstrap over images."""

from typing import NamedTuple

import numpy as np
from scipy.stats import bootstrap

CONFIDENCE = 0.95
RESAMPLES = 1_000


class Difference(NamedTuple):
    """A mean difference and its 95 % interval."""

    mean: float
    low: float
    high: float


def paired_difference(before: np.ndarray, after: np.ndarray, seed: int) -> Difference:
    """The mean of after - before over images, and its percentile bootstrap interval (Efron 1979).

    before, after: float [N], the same images in the same order. Equal arguments give equal intervals.
    Raises ValueError if the shapes differ or are not [N].
    """
    if before.shape != after.shape or before.ndim != 1:
        raise ValueError(
            f"before {before.shape} and after {after.shape} must hold one value for each of the same images"
        )
    gain = after - before
    if np.ptp(gain) == 0.0:  # all differences are equal, as between equal models: nothing to resample
        return Difference(float(gain[0]), float(gain[0]), float(gain[0]))
    drawn = bootstrap(
        (gain,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=50,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Difference(float(gain.mean()), float(drawn.low), float(drawn.high))
