"""Which test images a figure shows, and that they come out of whole images."""

import numpy as np
import pytest
import torch

from domain_denoiser import layout
from domain_denoiser.base import atomic
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import images, noisy_sets
from domain_denoiser.evaluation import examples, wholes
from domain_denoiser.evaluation.wholes import ALONE, Grid
from domain_denoiser.params import Constant, Uniform

ALL = Uniform(law="uniform", noise="gaussian", low=0.0, high=1.0)


def written(grids: list[Grid], labels: list[int], channels: tuple[int, ...] = ()) -> np.ndarray:
    """Test images here, at two noise levels: at 0.5 the negative."""
    count = sum(grid.rows * grid.columns for grid in grids)
    clean = np.random.default_rng(1).integers(0, 256, (count, *channels, 12, 16)).astype(np.uint8)
    images.save(layout.clean_images("test"), clean)
    images.save(layout.clean_labels("test"), np.array(labels, np.uint32))
    images.save(layout.grids("test"), np.array(grids, np.uint32))
    for sigma, noisy in ((0.1, clean), (0.5, 255 - clean)):
        images.save(layout.NOISE_LEVELS / noisy_sets.level_file("test", sigma), noisy)
    atomic.write_json(
        layout.NOISE_LEVELS / noisy_sets.LAW, {"law": "levels", "noise": "gaussian", "sigmas": [0.1, 0.5]}
    )
    return clean


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def blurred(noisy: torch.Tensor) -> torch.Tensor:
    """Sees beyond the borders of a tile."""
    return torch.nn.functional.avg_pool2d(noisy, 9, 1, 4, count_include_pad=False)


@pytest.mark.parametrize("channels", [(), (3,)], ids=str)
def test_of_many_files_the_middle_of_one_image_each(channels):
    grids = [Grid(3, 2), Grid(1, 1)] * 6
    labels = [file for file in range(12) for _ in range([6, 1][file % 2])]
    clean = written(grids, labels, channels)
    shown = examples.columns(ALL, None)
    tiles = [7 * (file // 2) + [3, 6][file % 2] for file in range(10)]
    np.testing.assert_array_equal(examples.original(shown), clean[tiles])
    assert [column.sigma for column in shown] == [0.1] * 5 + [0.5] * 5
    np.testing.assert_array_equal(examples.noisy(shown)[5:], 255 - clean[tiles[5:]])
    around = examples.around(shown)
    for column, tile, whole in zip(shown, tiles, around):
        rows, columns = column.place.grid
        assert whole.image.shape == (*channels, 12 * rows, 16 * columns)
        top, left = int(whole.top), int(whole.left)
        assert (top, left, whole.height, whole.width) == (whole.top, whole.left, 12, 16)
        np.testing.assert_array_equal(whole.image[..., top : top + 12, left : left + 16], clean[tile])


def test_a_large_image_is_reduced_for_the_figure():
    written([Grid(60, 41)], [0] * 60 * 41)
    [first, *_, last] = examples.around(examples.columns(ALL, None))
    assert first.image is last.image
    assert first.image.shape == (360, 328)  # half of 720 x 656
    assert (first.height, first.width) == (6, 8)
    at = 9 * 60 * 41 // 10
    assert (last.top, last.left) == (at // 41 * 6, at % 41 * 8)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_of_few_tiles_each_is_shown_once(count):
    clean = written([Grid(1, count)], [0] * count)
    np.testing.assert_array_equal(examples.original(examples.columns(ALL, None)), clean)


def test_tiles_come_out_of_whole_images():
    written([Grid(2, 3), Grid(3, 3)], [0] * 6 + [1] * 9)
    shown = examples.columns(ALL, None)
    assert len(shown) == 10  # of two files: tiles from all over them
    calls = []

    def restore(noisy: torch.Tensor) -> torch.Tensor:
        calls.append(noisy.shape[-2:])
        return blurred(noisy)

    found = examples.restored(shown, [restore] * 10, torch.device("cpu"))
    assert len(calls) < 10  # an image at a noise level once
    for column, tile in zip(shown, found):
        noisy = images.to_float(column.noisy, "cpu")
        whole = blurred(wholes.joined(noisy, column.place.grid))[0]
        top, left = 12 * column.place.row, 16 * column.place.column
        torch.testing.assert_close(tile, whole[:, top : top + 12, left : left + 16])
        assert (tile - blurred(noisy[column.at][None])[0]).abs().max() > 0.01


def test_each_column_by_its_own():
    written([ALONE] * 12, list(range(12)))
    shown = examples.columns(Constant(law="constant", noise="gaussian", sigma=0.5), None)
    restores = [lambda noisy, factor=number / 10: noisy * factor for number in range(10)]
    found = examples.restored(shown, restores, torch.device("cpu"))
    noisy = images.to_float(examples.noisy(shown), "cpu")
    torch.testing.assert_close(found, noisy * torch.arange(10)[:, None, None, None] / 10)
    assert examples.around(shown) is None


def test_a_network_of_one_size_sees_tiles():
    written([Grid(2, 3), Grid(3, 3)], [0] * 6 + [1] * 9)
    assert {column.place.grid for column in examples.columns(ALL, (12, 16))} == {ALONE}


def test_labels_of_other_images_are_bad_input():
    written([ALONE] * 3, [1, 2])
    with pytest.raises(BadInput, match=r"test images \[3, 12, 16\], but labels \[2\]"):
        examples.columns(ALL, None)
