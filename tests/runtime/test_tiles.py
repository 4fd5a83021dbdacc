"""Tiles: they cover an image once, and what is made of them equals what is made of the whole."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from domain_denoiser.networks import architectures, exporting, unet
from domain_denoiser.runtime import tiles
from domain_denoiser.runtime.graphs import Graph
from domain_denoiser.runtime.tiles import Reach, cuts, in_tiles

SETTINGS = unet.Settings(
    architecture="unet",
    image_channels=1,
    residual=False,
    fine_channels=4,
    coarse_channels=8,
    fine_blocks=1,
    coarse_blocks=1,
)


@given(length=st.integers(1, 500), halo=st.integers(0, 50), step=st.integers(1, 8), side=st.integers(1, 200))
def test_what_is_kept_covers_an_axis_once_and_sees_all_that_it_depends_on(length, halo, step, side):
    covered = []
    for read, kept in cuts(length, Reach(halo, step), side):
        covered += range(kept.start, kept.stop)
        assert read.start % step == 0
        assert read.stop % step == 0 or read.stop == length
        assert read.start <= max(0, kept.start - halo)
        assert min(length, kept.stop + halo) <= read.stop <= length
    assert covered == list(range(length))


def test_a_mean_over_the_reach_is_equal_in_tiles():
    noisy = np.random.default_rng(0).integers(0, 1000, (50, 37, 2))

    def summed(image: np.ndarray, kept: tiles.Kept | None = None) -> np.ndarray:
        padded = np.pad(image, ((3, 3), (3, 3), (0, 0)))
        return np.lib.stride_tricks.sliding_window_view(padded, (7, 7), (0, 1)).sum((3, 4))

    np.testing.assert_array_equal(in_tiles(summed, noisy, Reach(3, 4), 16), summed(noisy))
    assert not np.array_equal(in_tiles(summed, noisy, Reach(0, 1), 16), summed(noisy))


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(2018)
    return architectures.build(SETTINGS).eval().requires_grad_(False)


@pytest.mark.parametrize("size", [(64, 64), (65, 97), (130, 61)])
def test_a_network_restores_tiles_as_the_whole(network, size):
    graph = Graph(exporting.exported(network, SETTINGS), "here", 1)
    assert graph.reach == unet.reach(SETTINGS)
    noisy = np.random.default_rng(0).random((*size, 1), dtype=np.float32)

    def restore(tile: np.ndarray, kept: tiles.Kept | None = None) -> np.ndarray:
        return graph.restore(tile[None, :, :, 0])[0, :, :, None]

    whole = restore(noisy)
    assert np.abs(in_tiles(restore, noisy, graph.reach, 24) - whole).max() <= 1e-5
    assert np.abs(in_tiles(restore, noisy, Reach(0, graph.reach.step), 24) - whole).max() > 1e-5


@pytest.mark.parametrize("fine_blocks,coarse_blocks", [(0, 0), (1, 0), (0, 1), (3, 3)])
def test_reach_is_as_far_as_a_gradient_goes(fine_blocks, coarse_blocks):
    settings = SETTINGS.model_copy(update={"fine_blocks": fine_blocks, "coarse_blocks": coarse_blocks})
    network = architectures.build(settings).double()
    for weight in network.parameters():  # positive: nothing cancels, and no ReLU is silent
        weight.data = weight.data.abs() + 0.01
    farthest = 0
    for pixel in range(100, 104):  # each place that a pixel can have in a step
        noisy = torch.rand(1, 1, 200, 200, dtype=torch.double, requires_grad=True)
        network(noisy)[0, 0, pixel, pixel].backward()
        rows = noisy.grad[0, 0].any(1).nonzero().flatten()
        farthest = max(farthest, pixel - int(rows.min()), int(rows.max()) - pixel)
    assert unet.reach(settings) == (farthest, unet.STEP)
