"""Fits the profile of a domain to restored val images."""

import numpy as np

from domain_denoiser.domain.profile import Bin, Profile, rounded
from domain_denoiser.domain.statistics import statistics

BINS = 12  # of the strength of what was removed, at most
LEAST = 25  # images of a bin
QUANTILES = (0.005, 0.995)  # between which a statistic is said to be expected
LIMIT = 0.98  # quantile of the distances of a bin: further out there are too few images to tell bins apart
FALSE_ALARMS = (0.002, 0.005)
FOUND = 0.95  # the share of foreign images that is worth the more false alarms
RIDGE = 1e-6, 1e-12  # of a statistic's variance, and in itself: one that never changes can be divided by


def fit(own: np.ndarray, foreign: np.ndarray) -> Profile:
    """A profile whose threshold has the fewest of FALSE_ALARMS by which FOUND of the foreign images are found.

    own: sums of val images over all noise levels, float64 [N, 8]; foreign: of images of other kinds, float64 [M, 8].
    If no threshold finds so many, it has the most false alarms.
    """
    found, removed = statistics(own)
    edges = _edges(removed)
    at = np.searchsorted(edges, removed, side="right")
    bins = tuple(_bin(found[at == index]) for index in range(len(edges) + 1))
    unset = Profile(edges, bins, np.inf, 0.0)
    scores, others = unset.scores(own), unset.scores(foreign)
    share = next((share for share in FALSE_ALARMS if _found(scores, others, share) >= FOUND), FALSE_ALARMS[-1])
    threshold = max(float(np.finfo(float).eps), float(rounded(np.quantile(scores, 1 - share))))
    return unset._replace(threshold=threshold, false_alarms=share)


def _edges(removed: np.ndarray) -> np.ndarray:
    """Between bins of as many images each; fewer bins where images are few, or had just as much removed."""
    kept, below = [], 0
    for edge in rounded(np.quantile(removed, np.linspace(0, 1, BINS + 1)[1:-1])):
        under = int((removed < edge).sum())
        if min(under - below, len(removed) - under) >= LEAST:
            kept, below = [*kept, edge], under
    return np.array(kept)


def _found(own: np.ndarray, others: np.ndarray, share: float) -> float:
    """The share of foreign images above the score that a share of the domain's own lies above."""
    return float((others > np.quantile(own, 1 - share)).mean())


def _bin(found: np.ndarray) -> Bin:
    mean = rounded(found.mean(0))
    covariance = np.cov(found.T)
    ridge = RIDGE[0] * covariance.diagonal() + RIDGE[1]
    precision = rounded(np.linalg.inv(covariance + np.diag(ridge)))
    low, high = (rounded(np.quantile(found, each, axis=0)) for each in QUANTILES)
    apart = found - mean
    limit = rounded(np.quantile(np.einsum("ns,st,nt->n", apart, precision, apart), LIMIT))
    return Bin(mean, precision, low, high, max(1.0, float(limit)))
