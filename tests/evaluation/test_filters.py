import typing

import numpy as np
import pytest
from skimage import data as skimage_data

from domain_denoiser import params
from domain_denoiser.evaluation import filters

STRENGTHS = {"nonlocal_means": 0.7, "wavelet": 1.0, "total_variation": 1.0}
every_filter = pytest.mark.parametrize("name", filters.FILTERS)


def pieces() -> np.ndarray:
    """Four colour images of a photo, float32 [4, 3, 48, 64]."""
    photo = skimage_data.astronaut()[:192, 100:164] / np.float32(255)
    return np.moveaxis(photo.reshape(4, 48, 64, 3), -1, 1)


def all_restored(name: str, strength: float, noisy: np.ndarray, threads: int) -> np.ndarray:
    return np.stack(filters.restore_all(name, strength, noisy, threads))


def with_noise(clean: np.ndarray, sigma: float) -> np.ndarray:
    drawn = np.random.default_rng(1).standard_normal(clean.shape)
    return np.clip(clean + sigma * drawn, 0.0, 1.0).astype(np.float32)


@pytest.fixture(scope="module")
def colour() -> np.ndarray:
    return pieces()


@pytest.fixture(scope="module")
def grey(colour: np.ndarray) -> np.ndarray:
    return colour.mean(1)


def test_there_are_those_that_params_names():
    assert tuple(filters.FILTERS) == params.FILTERS
    [named, _] = typing.get_args(params.Params.model_fields["filters"].annotation)
    assert typing.get_args(named) == params.FILTERS


@every_filter
@pytest.mark.parametrize("images", ["grey", "colour"])
@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2])
def test_each_is_above_the_noisy_images_at_every_level(request, name, images, sigma):
    """Though it is told no level."""
    clean = request.getfixturevalue(images)
    noisy = with_noise(clean, sigma)
    restored = all_restored(name, STRENGTHS[name], noisy, threads=1)
    assert restored.shape == clean.shape and restored.dtype == np.float32
    assert restored.min() >= 0.0 and restored.max() <= 1.0
    assert filters.psnr_db(restored, clean).mean() > filters.psnr_db(noisy, clean).mean() + 1.0


@every_filter
def test_neither_threads_nor_the_other_images_change_a_byte(name, colour):
    noisy = with_noise(colour, 0.1)
    one, two = (all_restored(name, 1.0, noisy, threads) for threads in (1, 2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one[2:3], all_restored(name, 1.0, noisy[2:3], 2))


def test_weak_noise_of_16_bits_is_filtered(grey):
    """Six of 65,535, as in dark images of 12 bits."""
    clean = np.repeat(np.repeat(grey[:, ::8, ::8], 8, 1), 8, 2) * np.float32(0.02)
    noisy = with_noise(clean, 6 / 65_535)
    restored = all_restored("nonlocal_means", 0.7, noisy, 1)
    assert filters.psnr_db(restored, clean).mean() > filters.psnr_db(noisy, clean).mean() + 3.0


def test_nonlocal_means_see_all_channels_together(colour):
    noisy = with_noise(colour, 0.1)
    apart = np.stack([all_restored("nonlocal_means", 0.7, noisy[:, c], 1) for c in range(3)], 1)
    together = all_restored("nonlocal_means", 0.7, noisy, 1)
    assert filters.psnr_db(together, colour).mean() > filters.psnr_db(apart, colour).mean() + 0.5


@every_filter
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_an_image_of_one_value_stays_what_it_is(name, value):
    for shape in ((2, 16, 16), (2, 3, 16, 16)):
        flat = np.full(shape, value, np.float32)
        np.testing.assert_array_equal(all_restored(name, 1.0, flat, 1), flat)


@every_filter
@pytest.mark.parametrize("size", [(16, 16), (17, 31), (28, 28)])
def test_the_smallest_images_are_restored_without_a_warning(name, size):
    noisy = with_noise(np.full((1, *size), 0.5, np.float32), 0.1)
    restored = all_restored(name, 1.0, noisy, 1)
    assert np.isfinite(restored).all()
    assert restored.std() < noisy.std()


def test_the_level_of_the_noise_is_found(grey, colour):
    flat = np.full((128, 128), 0.5, np.float32)
    assert filters.noise_level(with_noise(flat, 0.1)) == pytest.approx(0.1, rel=0.05)
    assert filters.noise_level(np.moveaxis(with_noise(np.stack([flat] * 3), 0.1), 0, -1)) == pytest.approx(
        0.1, rel=0.05
    )
    assert filters.noise_level(flat) == 0.0


def test_one_channel_of_one_value_is_an_image_too(colour):
    noisy = with_noise(colour, 0.1)
    noisy[:, 2] = 0.0
    for name in filters.FILTERS:
        assert np.isfinite(all_restored(name, 1.0, noisy, 1)).all()


def test_calibration_takes_the_best_over_all_levels_together(grey):
    noisy = np.concatenate([with_noise(grey, sigma) for sigma in (0.05, 0.2)])
    clean = np.concatenate([grey, grey])
    tried = [0.01, 1.0, 30.0]
    means = [filters.psnr_db(all_restored("wavelet", each, noisy, 1), clean).mean() for each in tried]
    assert filters.calibrated("wavelet", tried, noisy, clean, 2) == tried[int(np.argmax(means))] == 1.0
    assert filters.calibrated("wavelet", tried[::-1], noisy, clean, 1) == 1.0


def test_images_of_several_sizes_are_calibrated_together(grey):
    """Each counts once, whatever its size."""
    clean = [grey[0], grey[1][:40, :70], grey[2][:17]]
    noisy = [with_noise(one, 0.1) for one in clean]
    tried = [0.3, 1.0, 3.0]
    means = [
        np.mean([filters.psnr_db([filters.restore("wavelet", each, one)], [of])[0] for one, of in zip(noisy, clean)])
        for each in tried
    ]
    assert filters.calibrated("wavelet", tried, noisy, clean, 2) == tried[int(np.argmax(means))]


def test_the_best_filter_is_that_of_each_level(grey, monkeypatch):
    clean = grey[[0, 1, 2, 3]]
    made = {"wavelet": clean + np.float32([0, 0, 0.2, 0])[:, None, None], "total_variation": clean + np.float32(0.05)}
    monkeypatch.setattr(filters, "restore_all", lambda name, *_: made[name])
    found = filters.best({"wavelet": [1.0], "total_variation": [2.0]}, clean, clean, [0.1, 0.1, 0.2, 0.3], 1)
    assert found == [("wavelet", 1.0), ("wavelet", 1.0), ("total_variation", 2.0), ("wavelet", 1.0)]


def test_psnr_is_capped_as_that_of_models(grey):
    assert list(filters.psnr_db(grey, grey)) == [100.0] * 4
    assert filters.psnr_db(grey[:1] * 0, grey[:1] * 0 + 1)[0] == 0.0
