import numpy as np
import pytest

from domain_denoiser.evaluation.intervals import over, paired_difference


def tiles(files: int, each: int, spread: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Before, after and the file of each tile: the gain is that of the file, with a little of its own."""
    draw = np.random.default_rng(3)
    groups = np.repeat(np.arange(files), each)
    gain = 1.0 + spread * draw.standard_normal(files)[groups] + 0.01 * draw.standard_normal(len(groups))
    before = draw.uniform(20.0, 30.0, len(groups))
    return before, before + gain, groups


def test_tiles_of_a_file_are_not_taken_for_independent():
    before, after, groups = tiles(8, 100, 1.0)
    apart, together = paired_difference(before, after, 1), paired_difference(before, after, 1, groups)
    assert apart.mean == together.mean == pytest.approx((after - before).mean())
    assert together.low < together.mean < together.high
    # 800 tiles, or 8 files: ten times as wide.
    assert (together.high - together.low) == pytest.approx(10 * (apart.high - apart.low), rel=0.3)


def test_a_file_a_tile_is_as_without_files():
    before, after, _ = tiles(200, 1, 1.0)
    apart, together = paired_difference(before, after, 1), paired_difference(before, after, 1, np.arange(200))
    assert together.low == pytest.approx(apart.low, abs=0.05)
    assert together.high == pytest.approx(apart.high, abs=0.05)


def test_large_files_count_as_much_as_their_tiles():
    """The mean is over tiles, in every resample."""
    gain = np.array([0.0] * 96 + [1.0, 2.0, 3.0, 4.0])
    found = paired_difference(np.zeros(100), gain, 1, np.array([0] * 96 + [1, 2, 3, 4]))
    assert found.mean == pytest.approx(0.1)
    assert found.low < 0.1 < found.high <= 4.0


@pytest.mark.parametrize("files", [1, 4])
def test_few_files_cannot_be_resampled(files):
    before, after, groups = tiles(files, 20, 0.1)
    assert paired_difference(before, after, 1, groups) == paired_difference(before, after, 1)


def test_how_files_are_numbered_changes_nothing():
    before, after, groups = tiles(6, 10, 1.0)
    assert paired_difference(before, after, 1, groups) == paired_difference(before, after, 1, 7 * groups + 3)
    assert paired_difference(before, after, 1, groups) != paired_difference(before, after, 2, groups)


def test_equal_models_have_no_interval():
    values = np.full(10, 20.0)
    assert paired_difference(values, values, 1, np.arange(10)) == (0.0, 0.0, 0.0)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"before \(3,\), after \(3,\) and groups \(4,\) must hold one value"):
        paired_difference(np.zeros(3), np.ones(3), 1, np.zeros(4))
    with pytest.raises(ValueError, match=r"before \(3,\), after \(4,\) must hold one value"):
        paired_difference(np.zeros(3), np.ones(4), 1)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (None, "images"),
        (np.repeat(np.arange(12), 3), "12 files"),
        (np.zeros(40), "40 tiles of 1 file"),
        (np.repeat(np.arange(4), 300), "1,200 tiles of 4 files"),
        (np.zeros(1), "1 tile of 1 file"),
    ],
)
def test_a_sentence_says_what_was_resampled(groups, said):
    assert over(groups) == said
