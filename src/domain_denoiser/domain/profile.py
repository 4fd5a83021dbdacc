"""The profile of a domain: what a model's own images look like, and how far from that an image is foreign.

Images are compared with val images that had about as much removed, in one of a few bins, by the Mahalanobis distance of
their statistics (Lee et al., NeurIPS 2018, who compare features of a network).
"""

import json
from typing import NamedTuple

import numpy as np

from domain_denoiser.base import reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.domain.statistics import NAMES, STATISTICS, statistics

LARGEST = 2**17  # bytes; one of twelve bins has 9 thousand on a line, twice as many indented
LARGEST_NUMBER = 1e50  # so that no product of a few overflows
SURE = 2.0  # thresholds: hardly any image of the domain lies further away
DIGITS = 9  # significant, of each number of the file


class Bin(NamedTuple):
    """Of the images that had about as much removed: of each statistic, and of all of them together."""

    mean: np.ndarray  # float64 [S]
    precision: np.ndarray  # float64 [S, S], the inverse of the covariance
    low: np.ndarray  # float64 [S], a quantile
    high: np.ndarray  # float64 [S], a quantile
    limit: float  # a quantile of the squared distances: they mean as much in each bin when they are divided by it


class Finding(NamedTuple):
    """What is most unlike the domain in a foreign image, and between which values it lies there."""

    statistic: int  # of STATISTICS
    found: float
    low: float
    high: float
    sure: bool  # further away than any image of the domain is likely to be

    @property
    def side(self) -> int:
        """1: above what is expected, -1: below; 0: no statistic is unusual by itself."""
        return (self.found > self.high) - (self.found < self.low)

    def sentence(self) -> str:
        """As `brightness of the noisy image 0.82, 0.05 to 0.31 expected`."""
        if self.side == 0:
            return "each of its statistics is usual, but not all of them together"
        return f"{STATISTICS[self.statistic].said} {self.found:.3g}, {self.low:.3g} to {self.high:.3g} expected"


class Profile(NamedTuple):
    """See the module."""

    edges: np.ndarray  # float64 [bins - 1], ascending: where a bin of the root mean square of what was removed ends
    bins: tuple[Bin, ...]
    threshold: float  # of the squared distance, divided by the bin's limit
    false_alarms: float  # the share of val images above the threshold

    def scores(self, added: np.ndarray) -> np.ndarray:
        """How unlike the domain each image is, float64 [N]. added: sums of whole images, float64 [N, 8]."""
        found, removed = statistics(added)
        at, scores = self._bins_of(removed), np.empty(len(found))
        for index, own in enumerate(self.bins):
            apart = found[at == index] - own.mean
            scores[at == index] = np.einsum("ns,st,nt->n", apart, own.precision, apart) / own.limit
        return scores

    def findings(self, added: np.ndarray) -> list[Finding | None]:
        """For each image None if it looks like the domain, else what does not. added: as of `scores`."""
        found, removed = statistics(added)
        at, far = self._bins_of(removed), self.scores(added) / self.threshold
        return [
            None if far[index] <= 1.0 else _finding(found[index], self.bins[at[index]], bool(far[index] > SURE))
            for index in range(len(found))
        ]

    def _bins_of(self, removed: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.edges, removed, side="right")

    def as_json(self) -> dict[str, object]:
        """What `parse` reads again."""
        return {
            "statistics": list(NAMES),
            "noise_edges": self.edges.tolist(),
            "bins": [
                {
                    name: value.tolist() if isinstance(value, np.ndarray) else value
                    for name, value in one._asdict().items()
                }
                for one in self.bins
            ],
            "threshold": self.threshold,
            "false_alarms": self.false_alarms,
        }


def _finding(found: np.ndarray, own: Bin, sure: bool) -> Finding:
    """Of the statistic that lies the furthest outside its quantiles, or the nearest to one, in widths between them."""
    outside = np.maximum(found - own.high, own.low - found) / np.maximum(own.high - own.low, np.finfo(float).tiny)
    worst = int(np.argmax(outside))
    return Finding(worst, float(found[worst]), float(own.low[worst]), float(own.high[worst]), sure)


def rounded(values: np.ndarray) -> np.ndarray:
    """To DIGITS significant digits, so that the file says just what is computed with."""
    return np.array([float(f"{value:.{DIGITS}g}") for value in values.ravel()]).reshape(values.shape)


def parse(content: bytes, where: str) -> Profile:
    """A profile in JSON. Raises BadInput, whose message starts with `where`, if it is none."""
    if len(content) > LARGEST:
        raise BadInput(f"{where} has more than {LARGEST} bytes")
    given = reading.from_json(content, where)
    try:
        profile = _built(given)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadInput(f"{where} is not as a profile should be: {_said(error)}") from error
    if not _makes_sense(profile):
        raise BadInput(f"{where} has numbers that are in no order, negative, or too large")
    return profile


def _built(given: object) -> Profile:
    number = len(NAMES)
    if not isinstance(given, dict) or given["statistics"] != list(NAMES) or not isinstance(given["bins"], list):
        raise ValueError(f"a list of bins of the statistics {', '.join(NAMES)} is expected")
    bins = tuple(
        Bin(
            _numbers(one["mean"], number),
            _numbers(one["precision"], number, number),
            _numbers(one["low"], number),
            _numbers(one["high"], number),
            float(_numbers(one["limit"])),
        )
        for one in given["bins"]
    )
    edges = _numbers(given["noise_edges"], len(bins) - 1)
    return Profile(edges, bins, float(_numbers(given["threshold"])), float(_numbers(given["false_alarms"])))


def _makes_sense(profile: Profile) -> bool:
    """Whether it can be computed with: a distance is then a number, if not always a sensible one."""
    numbers = [profile.edges, *(value for one in profile.bins for value in one)]
    return (
        0.0 < profile.threshold < LARGEST_NUMBER
        and 0.0 < profile.false_alarms < 1.0
        and bool((np.diff(profile.edges) > 0.0).all())
        and all(one.limit >= 1.0 and (one.low <= one.high).all() for one in profile.bins)
        and all((np.abs(value) < LARGEST_NUMBER).all() for value in numbers)
    )


def _said(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)[:200]


def written(profile: Profile) -> str:
    """On one line, as it stands in the metadata of a graph."""
    return json.dumps(profile.as_json(), separators=(",", ":"))


def _numbers(given: object, *shape: int) -> np.ndarray:
    array = np.array(given)
    if array.shape != shape or array.dtype.kind not in "if":
        raise ValueError(f"numbers of the shape {list(shape)} are expected")
    return array.astype(np.float64)
