"""Whole images, of the tiles that they are stored as: a network and a filter see beyond a tile's border, as in use.

The tiles of an image lie one after another, row by row. Everything is measured tile by tile, on what comes out of the
whole image: so tables have rows of equal size, and intervals have something to resample where images are few.
"""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import NamedTuple

from torch import Tensor

from domain_denoiser import layout
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import images

Restore = Callable[[Tensor], Tensor]  # float32 [N, C, H, W] in [0, 1] -> the same, restored


class Grid(NamedTuple):
    """How many rows and columns of tiles an image has."""

    rows: int
    columns: int


ALONE = Grid(1, 1)


class Place(NamedTuple):
    """Where a tile lies."""

    part: slice  # all tiles of its image
    grid: Grid
    row: int
    column: int


def load(split: str, count: int) -> list[Grid]:
    """The images of val, gate or test. Raises BadInput if they have not so many tiles together."""
    path = layout.grids(split)
    if not path.exists():
        raise BadInput(f"{path} does not exist: `dvc repro` makes it")
    found = images.load_array(path)
    if (
        found.ndim != 2
        or found.shape[1] != 2
        or found.dtype.kind != "u"
        or 0 in found
        or int(found.prod(1).sum()) != count
    ):
        raise BadInput(f"{path} is no list of grids of {count} tiles together: `dvc repro` makes it")
    return [Grid(*sides) for sides in found.tolist()]


def fitting(grids: list[Grid], size: tuple[int, int] | None) -> list[Grid]:
    """Each tile for itself if a network takes images of one size alone, which the tiles have; size: None if of any."""
    return grids if size is None else [ALONE] * sum(grid.rows * grid.columns for grid in grids)


def joined(tiles: Tensor, grid: Grid) -> Tensor:
    """Tiles [B * rows * columns, C, H, W] as images [B, C, rows * H, columns * W]."""
    parts = tiles.unflatten(0, (-1, *grid)).permute(0, 3, 1, 4, 2, 5)
    return parts.flatten(4).flatten(2, 3)


def parted(wholes: Tensor, grid: Grid) -> Tensor:
    """The inverse of `joined`."""
    parts = wholes.unflatten(3, (grid.columns, -1)).unflatten(2, (grid.rows, -1))
    return parts.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


def restored(restore: Restore, noisy: Tensor, grid: Grid) -> Tensor:
    """Noisy tiles of whole images, float32 [N, C, H, W] in [0, 1], as they come out of them: the same, clipped."""
    return parted(restore(joined(noisy, grid)).clamp(0.0, 1.0), grid)


def batches(grids: list[Grid], most: int) -> Iterator[tuple[slice, Grid]]:
    """All tiles in parts, of whole images of one size each: at most `most` tiles, or those of one image."""
    start = 0
    for grid, alike in groupby(grids):
        left, each = sum(1 for _ in alike), grid.rows * grid.columns
        while left:
            number = min(left, max(1, most // each))
            yield slice(start, start + number * each), grid
            start, left = start + number * each, left - number


def place(grids: list[Grid], tile: int) -> Place:
    """Of the tile with this number, from 0. Raises IndexError if there are not so many."""
    start = 0
    for grid in grids:
        end = start + grid.rows * grid.columns
        if tile < end:
            return Place(slice(start, end), grid, *divmod(tile - start, grid.columns))
        start = end
    raise IndexError(f"there are {start} tiles, but not one with the number {tile}")
