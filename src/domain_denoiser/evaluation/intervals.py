"""Confidence intervals of differences: paired bootstrap over images, or over the files that they are tiles of."""

from typing import NamedTuple

import numpy as np
from scipy.stats import bootstrap

CONFIDENCE = 0.95
RESAMPLES = 1_000
FEWEST_GROUPS = 5  # of which resampling says anything
IMAGES = "images"  # what an interval is over, where there are no groups


class Difference(NamedTuple):
    """A mean difference and its 95 % interval."""

    mean: float
    low: float
    high: float


def paired_difference(before: np.ndarray, after: np.ndarray, seed: int, groups: np.ndarray | None = None) -> Difference:
    """The mean of after - before over images, and its percentile bootstrap interval (Efron 1979).

    before, after: float [N], the same images in the same order. groups: [N], the file of each image, if the images of a
    file are not independent of each other: then files are resampled, each with all its images (Davison & Hinkley 1997,
    section 3.8), unless there are fewer than FEWEST_GROUPS; see `over`. Equal arguments give equal intervals.
    Raises ValueError if the shapes differ or are not [N].
    """
    shapes = {before.shape, after.shape} | (set() if groups is None else {groups.shape})
    if len(shapes) > 1 or before.ndim != 1:
        raise ValueError(
            f"before {before.shape}, after {after.shape}"
            f"{'' if groups is None else f' and groups {groups.shape}'} must hold one value for each of the same images"
        )
    gain = after - before
    if np.ptp(gain) == 0.0:  # all differences are equal, as between equal models: nothing to resample
        return Difference(float(gain[0]), float(gain[0]), float(gain[0]))
    if groups is not None and _are_enough(groups):
        return _over_groups(gain, groups, seed)
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


def over(groups: np.ndarray | None) -> str:
    """What an interval of `paired_difference` is over, for a sentence: images, 12 files, or 40 tiles of 1 file."""
    if groups is None:
        return IMAGES
    files = len(np.unique(groups))
    if _are_enough(groups):
        return f"{files:,} files"
    return f"{len(groups):,} tile{'s' * (len(groups) != 1)} of {files} file{'s' * (files != 1)}"


def _are_enough(groups: np.ndarray) -> bool:
    return len(np.unique(groups)) >= FEWEST_GROUPS


def _over_groups(gain: np.ndarray, groups: np.ndarray, seed: int) -> Difference:
    _, place = np.unique(groups, return_inverse=True)
    sums, counts = np.bincount(place, gain), np.bincount(place)
    drawn = np.random.default_rng(seed).integers(0, len(counts), (RESAMPLES, len(counts)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Difference(float(gain.mean()), float(low), float(high))
