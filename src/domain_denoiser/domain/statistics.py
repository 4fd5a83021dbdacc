"""A few numbers about an image before and after restoring, by which images of another kind stand out.

They are made of sums over pixels, so those of tiles, or of colour channels, are added. Pairs of neighbours in two tiles
are left out, a few of thousands.
"""

from typing import NamedTuple

import numpy as np


class Statistic(NamedTuple):
    """What it is called in files, and in sentences."""

    name: str
    said: str


STATISTICS = (
    Statistic("noisy_mean", "brightness of the noisy image"),
    Statistic("restored_mean", "brightness of the restored image"),
    # sqrt(mean(x (1 - x))): 0 if all is black or white, 0.5 if all is grey; Gini's index of diversity (1912) of pixels.
    Statistic("restored_grey", "greyness of the restored image"),
    # The root of the energy of the gradient (Subbarao, Choi and Nikzad, Optical Engineering 32, 1993).
    Statistic("restored_edges", "edges in the restored image"),
    # White where the noise alone was removed (Almeida and Figueiredo, IEEE Transactions on Image Processing 22, 2013).
    Statistic("removed_across", "covariance across of what was removed"),
    Statistic("removed_down", "covariance down of what was removed"),
)
NAMES = tuple(statistic.name for statistic in STATISTICS)
SUMS = 8  # of an image


def sums(noisy: np.ndarray, restored: np.ndarray) -> np.ndarray:
    """float64 [N, 8], to be added up over the parts of an image; `statistics` makes numbers of them.

    noisy, restored: float32 [N, H, W] or [N, C, H, W] in [0, 1]; channels are parts of an image, and are added up.
    """
    if noisy.ndim == 4:
        number, channels = noisy.shape[:2]
        planes = (given.reshape(number * channels, *given.shape[2:]) for given in (noisy, restored))
        return sums(*planes).reshape(number, channels, SUMS).sum(1)
    removed = noisy - restored
    across, down = np.diff(restored, axis=2), np.diff(restored, axis=1)
    columns = (
        np.full(len(noisy), noisy[0].size if len(noisy) else 0),
        noisy.sum((1, 2), dtype=np.float64),
        restored.sum((1, 2), dtype=np.float64),
        _products(restored, restored),
        _products(across, across) + _products(down, down),
        _products(removed, removed),
        _products(removed[:, :, 1:], removed[:, :, :-1]),
        _products(removed[:, 1:], removed[:, :-1]),
    )
    return np.stack(columns, axis=1)


def statistics(added: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """STATISTICS of each image, float64 [N, 6], and the root mean square of what was removed, float64 [N].

    added: the sums of whole images, float64 [N, 8], of at least one pixel each.
    """
    noisy, restored, squares, edges, removed, across, down = (added[:, 1:] / added[:, :1]).T
    grey = np.sqrt(np.maximum(restored - squares, 0.0))
    return np.stack([noisy, restored, grey, np.sqrt(edges), across, down], axis=1), np.sqrt(removed)


def _products(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The sum of products of each image, float64 [N]: each row's in float32, which is fast, then all rows'."""
    return np.einsum("nhw,nhw->nh", one, other).sum(1, dtype=np.float64)
