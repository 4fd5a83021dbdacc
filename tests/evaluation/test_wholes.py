"""Tiles and the images that they are of."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from domain_denoiser import layout
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import images
from domain_denoiser.evaluation import wholes
from domain_denoiser.evaluation.wholes import ALONE, Grid, Place

GRIDS = st.lists(st.builds(Grid, st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=12)


@given(
    st.integers(1, 3),
    st.sampled_from([1, 3]),
    st.integers(1, 5),
    st.integers(1, 5),
    st.builds(Grid, st.integers(1, 4), st.integers(1, 4)),
)
def test_tiles_lie_row_by_row_in_their_image(count, channels, height, width, grid):
    every = torch.arange(count * grid.rows * grid.columns * channels * height * width, dtype=torch.float32)
    given_tiles = every.reshape(-1, channels, height, width)
    found = wholes.joined(given_tiles, grid)
    assert found.shape == (count, channels, grid.rows * height, grid.columns * width)
    for number, tile in enumerate(given_tiles):
        image, place = divmod(number, grid.rows * grid.columns)
        row, column = divmod(place, grid.columns)
        part = found[image, :, row * height : (row + 1) * height, column * width : (column + 1) * width]
        assert torch.equal(part, tile)
    assert torch.equal(wholes.parted(found, grid), given_tiles)


@given(GRIDS, st.integers(1, 40))
def test_batches_are_whole_images_in_order(grids, most):
    at = 0
    for part, grid in wholes.batches(grids, most):
        each = grid.rows * grid.columns
        assert part.start == at
        assert (part.stop - at) % each == 0
        assert part.stop - at <= max(most, each)
        at = part.stop
    assert at == sum(grid.rows * grid.columns for grid in grids)


@given(GRIDS)
def test_each_tile_has_a_place(grids):
    ends = np.cumsum([grid.rows * grid.columns for grid in grids]).tolist()
    for tile in range(ends[-1]):
        found = wholes.place(grids, tile)
        assert found.part.start + found.row * found.grid.columns + found.column == tile
        assert (found.row < found.grid.rows, found.column < found.grid.columns) == (True, True)
        assert found.part.stop in ends
    with pytest.raises(IndexError, match="not one with the number"):
        wholes.place(grids, ends[-1])


def test_a_network_of_one_size_has_each_tile_for_itself():
    grids = [Grid(2, 3), Grid(1, 1)]
    assert wholes.fitting(grids, None) == grids
    assert wholes.fitting(grids, (28, 28)) == [ALONE] * 7
    assert wholes.place([Grid(2, 3)], 4) == Place(slice(0, 6), Grid(2, 3), 1, 1)


@pytest.mark.parametrize(
    "written",
    [
        np.ones((7, 2), np.uint32),
        np.ones((6, 3), np.uint32),
        np.ones((6, 2), np.float32),
        np.ones(6, np.uint32),
        np.array([[0, 3], [2, 3]], np.uint32),
    ],
    ids=["too many", "three columns", "floats", "one axis", "an empty one"],
)
def test_grids_that_are_not_those_of_the_tiles_are_bad_input(tmp_path, monkeypatch, written):
    monkeypatch.chdir(tmp_path)
    images.save(layout.grids("gate"), np.array([[2, 2], [1, 2]], np.uint32))
    assert wholes.load("gate", 6) == [Grid(2, 2), Grid(1, 2)]
    images.save(layout.grids("gate"), written)
    with pytest.raises(
        BadInput, match=r"^data/clean/gate_grids.npy is no list of grids of 6 tiles together: `dvc repro`"
    ):
        wholes.load("gate", 6)
    Path(layout.grids("gate")).unlink()
    with pytest.raises(BadInput, match="^data/clean/gate_grids.npy does not exist: `dvc repro` makes it$"):
        wholes.load("gate", 6)


def test_what_a_network_makes_of_a_tile_depends_on_its_neighbours(colour_network):
    """And equals what it makes of the whole image, clipped."""
    grid, noisy = Grid(3, 4), torch.rand(12, 3, 16, 20, generator=torch.Generator().manual_seed(1))
    found = wholes.restored(colour_network, noisy, grid)
    whole = colour_network(wholes.joined(noisy, grid))[0].clamp(0.0, 1.0)
    assert torch.equal(found[6], whole[:, 16:32, 40:60])
    assert (found - wholes.restored(colour_network, noisy, ALONE)).abs().max() > 1e-3
