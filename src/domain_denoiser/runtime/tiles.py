"""Large images in tiles that overlap: what the middle of a tile depends on lies inside the tile."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

SIDE = 768  # pixels of a tile's side without its overlap: a tile of `conv` takes 160 MB


class Reach(NamedTuple):
    """How far a network looks: a restored pixel depends on noisy pixels at most `halo` rows and columns away.

    Tiles must begin at multiples of `step`, as the network takes `step` x `step` pixels together.
    """

    halo: int
    step: int


class Cut(NamedTuple):
    """A part of one axis: what is read, and what of it is kept."""

    read: slice
    kept: slice


def cuts(length: int, reach: Reach, side: int) -> Iterator[Cut]:
    """The parts of an axis of `length` pixels: the kept ones follow each other without a gap."""
    overlap, side = (-(-pixels // reach.step) * reach.step for pixels in (reach.halo, side))
    for start in range(0, length, side):
        stop = min(start + side, length)
        yield Cut(slice(max(0, start - overlap), min(stop + overlap, length)), slice(start, stop))


Kept = tuple[slice, slice]  # rows and columns of a tile


def in_tiles(
    restore: Callable[[np.ndarray, Kept], np.ndarray], noisy: np.ndarray, reach: Reach, side: int
) -> np.ndarray:
    """Apply `restore`, which keeps shape and type, to the tiles of one image [H, W, C]; returns [H, W, C].

    It is told what of the tile is kept: each pixel of the image is kept once.
    """
    restored = np.empty_like(noisy)
    height, width = noisy.shape[:2]
    for rows in cuts(height, reach, side):
        for columns in cuts(width, reach, side):
            kept = _within(rows), _within(columns)
            restored[rows.kept, columns.kept] = restore(noisy[rows.read, columns.read], kept)[kept]
    return restored


def _within(cut: Cut) -> slice:
    """Where the kept part lies in the part that is read."""
    return slice(cut.kept.start - cut.read.start, cut.kept.stop - cut.read.start)
