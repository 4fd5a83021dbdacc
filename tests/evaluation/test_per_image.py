import numpy as np
import pandas
import pytest
import torch
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from domain_denoiser.core import images, noisy_sets
from domain_denoiser.evaluation import per_image
from domain_denoiser.evaluation.baselines import BASELINES, NOISY
from domain_denoiser.evaluation.per_image import evaluate, means
from domain_denoiser.evaluation.tables import COLUMNS
from domain_denoiser.evaluation.wholes import ALONE, Grid
from domain_denoiser.params import Constant


@pytest.fixture
def clean(digits):
    return images.to_float(digits, "cpu")


@pytest.fixture
def corrupted(digits):
    made = noisy_sets.corrupt(
        digits, Constant(law="constant", noise="gaussian", sigma=0.5), 2018, "levels", "test", "0.5"
    )
    return images.to_float(np.concatenate(list(made.parts)), "cpu")


@pytest.fixture
def table(corrupted, clean):
    tables = [
        evaluate(BASELINES[NOISY], corrupted, clean, 0.5, [ALONE] * 200),
        evaluate(lambda given: given / 2, corrupted, clean, 1.0, [ALONE] * 200),
    ]
    return pandas.concat(tables)


def test_row_of_an_image_is_what_scikit_image_says(corrupted, clean):
    found = evaluate(BASELINES[NOISY], corrupted, clean, 0.5, [ALONE] * 200)
    assert list(found.columns) == COLUMNS
    assert list(found["image"]) == list(range(200))
    assert set(found["sigma"]) == {0.5}
    for row, a, b in zip(found.itertuples(), clean.squeeze(1).numpy(), corrupted.squeeze(1).numpy()):
        assert row.mse == pytest.approx(mean_squared_error(a, b), rel=1e-5)
        assert row.psnr_db == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1), abs=1e-4)
        similarity = structural_similarity(a, b, gaussian_weights=True, use_sample_covariance=False, data_range=1)
        assert row.ssim == pytest.approx(similarity, abs=1e-4)


def test_perfect_restoration(clean):
    found = evaluate(lambda given: clean, clean, clean, 0.0, [ALONE] * 200)
    assert set(found["mse"]) == {0.0}
    assert set(found["psnr_db"]) == {100.0}
    np.testing.assert_allclose(found["ssim"], 1.0, atol=1e-6)


def test_restored_images_are_clipped(clean):
    found = evaluate(
        lambda given: torch.where(given > 0.5, 7.0, -7.0), clean.round(), clean.round(), 0.0, [ALONE] * 200
    )
    assert set(found["mse"]) == {0.0}


def test_parts_make_no_difference(corrupted, clean, monkeypatch):
    whole = evaluate(BASELINES[NOISY], corrupted, clean, 0.5, [ALONE] * 200)
    monkeypatch.setattr(per_image, "BATCH", 7)
    pandas.testing.assert_frame_equal(
        evaluate(BASELINES[NOISY], corrupted, clean, 0.5, [ALONE] * 200), whole, rtol=1e-6
    )


def test_images_of_several_tiles_are_restored_as_wholes(corrupted, clean, monkeypatch):
    """A row a tile, however many go together; what restores sees images of their own sizes, in order."""
    grids = [Grid(1, 1)] * 3 + [Grid(2, 5)] * 2 + [Grid(9, 13), Grid(6, 10)]
    seen = []

    def brighter_to_the_right(noisy: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(noisy.shape))
        return noisy + torch.linspace(0.0, 0.5, noisy.shape[-1])

    found = evaluate(brighter_to_the_right, clean, clean, 0.5, grids)
    assert seen == [(3, 1, 28, 28), (2, 1, 56, 140), (1, 1, 252, 364), (1, 1, 168, 280)]
    assert list(found["image"]) == list(range(200))
    ramp, start = np.linspace(0.0, 0.5, 364), 3 + 2 * 10
    for row, column in ((0, 0), (0, 12), (8, 3)):
        tile = start + row * 13 + column
        digit = clean[tile, 0].numpy()
        error = np.clip(digit + ramp[28 * column : 28 * (column + 1)], 0, 1) - digit
        assert found["mse"][tile] == pytest.approx(np.square(error).mean(), abs=1e-6)
    monkeypatch.setattr(per_image, "BATCH", 7)
    again = evaluate(brighter_to_the_right, clean, clean, 0.5, grids)
    pandas.testing.assert_frame_equal(again, found, rtol=1e-6)


def test_global_psnr_is_that_of_the_mean_error_and_the_other_the_mean_over_images():
    rows = [(0.5, 0, 0.1, 10.0, 0.3), (0.5, 1, 0.001, 30.0, 0.5), (0.0, 0, 0.0, 100.0, 1.0)]
    found = means(pandas.DataFrame(rows, columns=COLUMNS))
    assert list(found) == ["0.0", "0.5"]
    assert found["0.0"] == {"psnr_db": 100.0, "psnr_db_global": 100.0, "mse": 0.0, "ssim": 1.0}
    assert found["0.5"]["psnr_db"] == pytest.approx(20.0)
    assert found["0.5"]["mse"] == pytest.approx(0.0505)
    assert found["0.5"]["psnr_db_global"] == pytest.approx(10 * np.log10(1 / 0.0505))
    assert found["0.5"]["ssim"] == pytest.approx(0.4)


def test_mean_of_an_image_each_is_never_below_the_global_psnr(table):
    # Jensen's inequality: -log is convex.
    for values in means(table).values():
        assert values["psnr_db"] > values["psnr_db_global"]
