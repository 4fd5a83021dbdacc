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

LARGEST_TEXT = 2**17  # characters; one of twelve bins has 9 thousand on a line, twice as many indented
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

    def sentence(self) -> str:
        """As `brightness of the noisy image 0.82, 0.05 to 0.31 expected`."""
        if self.low <= self.found <= self.high:
            return "each of its statistics is usual, but not all of them together"
        return f"{STATISTICS[self.statistic].said} {self.found:.2g}, {self.low:.2g} to {self.high:.2g} expected"


class Profile(NamedTuple):
    """See the module."""

    edges: np.ndarray  # float64 [bins - 1], ascending: where a bin of the root mean square of what was removed ends
    bins: tuple[Bin, ...]
    threshold: float  # of the squared distance, divided by the bin's limit
    false_alarms: float  # the share of val images above the threshold

    def scores(self, added: np.ndarray) -> np.ndarray:
        """How unlike the domain each image is, float64 [N]. added: sums of whole images, float64 [N, 8]."""
        found, removed = statistics(added)
        scores = np.empty(len(found))
        at = np.searchsorted(self.edges, removed, side="right")
        for index, own in enumerate(self.bins):
            apart = found[at == index] - own.mean
            scores[at == index] = np.einsum("ns,st,nt->n", apart, own.precision, apart) / own.limit
        return scores

    def findings(self, added: np.ndarray) -> list[Finding | None]:
        """For each image None if it looks like the domain, else what does not. added: as of `scores`."""
        found, removed = statistics(added)
        at = np.searchsorted(self.edges, removed, side="right")
        foreign = self.scores(added) > self.threshold
        return [_finding(found[index], self.bins[at[index]]) if foreign[index] else None for index in range(len(found))]

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


def _finding(found: np.ndarray, own: Bin) -> Finding:
    """The statistic that lies the furthest outside its quantiles, or the nearest to one, in widths between them."""
    width = np.maximum(own.high - own.low, np.finfo(float).tiny)
    outside = np.maximum(found - own.high, own.low - found) / width
    worst = int(np.argmax(outside))
    return Finding(worst, float(found[worst]), float(own.low[worst]), float(own.high[worst]))


def rounded(values: np.ndarray) -> np.ndarray:
    """To DIGITS significant digits, so that the file says just what is computed with."""
    return np.array([float(f"{value:.{DIGITS}g}") for value in values.ravel()]).reshape(values.shape)


def parse(text: str, where: str) -> Profile:
    """A profile in JSON. Raises BadInput, whose message starts with `where`, if it is none."""
    if len(text) > LARGEST_TEXT:
        raise BadInput(f"{where} has a profile of more than {LARGEST_TEXT} characters")
    given = reading.from_json(text.encode(), where)
    number = len(NAMES)
    try:
        if given["statistics"] != list(NAMES):
            raise BadInput(f"{where} has a profile of other statistics than {', '.join(NAMES)}")
        edges = _numbers(given["noise_edges"], (len(given["bins"]) - 1,))
        bins = tuple(
            Bin(
                _numbers(one["mean"], (number,)),
                _numbers(one["precision"], (number, number)),
                _numbers(one["low"], (number,)),
                _numbers(one["high"], (number,)),
                float(_numbers(one["limit"], ())),
            )
            for one in given["bins"]
        )
        return Profile(edges, bins, float(_numbers(given["threshold"], ())), float(_numbers(given["false_alarms"], ())))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadInput(f"{where} has no profile of a domain: {type(error).__name__} {error}"[:300]) from error


def written(profile: Profile) -> str:
    """On one line, as it stands in the metadata of a graph."""
    return json.dumps(profile.as_json(), separators=(",", ":"))


def _numbers(given: object, shape: tuple[int, ...]) -> np.ndarray:
    array = np.array(given, np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"numbers of the shape {list(shape)} are expected, but {list(array.shape)} were found")
    return array
