"""Noise that is put on digits and photos is found again, clipped or not; what is no independent noise is told apart."""

from pathlib import Path

import numpy as np
import pytest
import skimage
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage.restoration import estimate_sigma

from domain_denoiser.runtime import noise_level

PHOTOS = Path(skimage.__file__).parent / "data"  # those that are in the package itself


def photo(name: str) -> np.ndarray:
    """Its middle, float [1, 256, 256] in [0, 1]."""
    with Image.open(PHOTOS / f"{name}.png") as opened:
        pixels = np.asarray(opened.convert("L")) / 255.0
    return pixels[None, -256:, -256:] if name == "page" else pixels[None, 100:356, 100:356]


def noise(shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def noisy(clean: np.ndarray, sigma: float) -> np.ndarray:
    """As it comes out of a file of 8 bits."""
    return (np.clip(clean + sigma * noise(clean.shape), 0.0, 1.0) * 255.0).round() / 255.0


def blurred(images: np.ndarray) -> np.ndarray:
    """The mean of 3 x 3 pixels, around the edges."""
    return sum(np.roll(images, (down, across), (1, 2)) for down in (-1, 0, 1) for across in (-1, 0, 1)) / 9.0


def found(images: np.ndarray) -> float | None:
    return noise_level.sigma(noise_level.counts(images))


@pytest.mark.parametrize("sigma", [0.1, 0.25, 0.5, 0.75, 1.0])
def test_the_noise_of_digits_is_found(digits, sigma):
    """Half of it is cut off at black: what knows nothing of that misses by more."""
    images = noisy(digits[:64] / 255.0, sigma)
    assert found(images) == pytest.approx(sigma, rel=0.1)
    plain = np.mean([estimate_sigma(image) for image in images])
    assert abs(plain - sigma) > 0.1 * sigma


@pytest.mark.parametrize("sigma", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("name", ["brick", "camera", "gravel", "text"])
def test_the_noise_of_photos_is_found(name, sigma):
    assert found(noisy(photo(name), sigma)) == pytest.approx(sigma, rel=0.1)


def test_a_texture_that_looks_like_noise_is_taken_for_some():
    """A limit: who removes it changes docs/inspect.md."""
    assert found(photo("grass")) > 0.03


@pytest.mark.parametrize("sigma", [0.05, 0.1])
def test_where_nothing_is_cut_off_it_agrees_with_scikit_image(sigma):
    slope = np.linspace(0.4, 0.6, 200)[None, :, None] * np.ones((1, 200, 200))
    images = slope + sigma * noise(slope.shape)
    assert 0.0 < images.min() < images.max() < 1.0
    assert found(images) == pytest.approx(estimate_sigma(images[0]), rel=0.05)


@given(level=st.floats(0.0, 1.0), sigma=st.floats(0.05, 1.0), seed=st.integers(0, 1000))
def test_on_any_flat_ground(level, sigma, seed):
    images = np.clip(level + sigma * noise((4, 64, 64), seed), 0.0, 1.0)
    assert found(images) == pytest.approx(sigma, rel=0.15)


@given(st.integers(0, 1000))
def test_negatives_turned_and_mirrored_images_have_the_same_noise(seed):
    images = np.clip(0.3 + 0.2 * noise((1, 64, 64), seed), 0.0, 1.0)
    expected = pytest.approx(found(images), rel=0.03)
    for other in (1.0 - images, images.swapaxes(1, 2), images[:, ::-1], images[:, :, ::-1]):
        assert found(other) == expected


def test_counts_of_parts_add_up_to_those_of_all(digits):
    images = noisy(digits[:8] / 255.0, 0.3)
    both = noise_level.counts(images[:3]).with_more(noise_level.counts(images[3:]))
    for one, other in zip(both, noise_level.counts(images), strict=True):
        np.testing.assert_array_equal(one, other)


def test_clean_digits_have_none(digits):
    assert found(digits[:64] / 255.0) < 0.01


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 999), (3, 5, 9), (0, 28, 28)], ids=str)
def test_too_few_pixels(shape):
    assert found(np.full(shape, 0.5)) is None


@pytest.mark.parametrize("sigma", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("name", ["digits", "brick", "camera", "grass"])
def test_white_noise_is_independent_and_blurred_noise_is_not(digits, name, sigma):
    clean = digits[:64] / 255.0 if name == "digits" else photo(name)
    assert noise_level.independent(noise_level.counts(noisy(clean, sigma)))
    smooth = np.clip(clean + 3.0 * sigma * blurred(noise(clean.shape)), 0.0, 1.0)  # of the same standard deviation
    assert not noise_level.independent(noise_level.counts(smooth))


def test_noise_that_is_blurred_in_one_direction_is_not_independent():
    white = noise((1, 128, 128))
    across = (white + np.roll(white, 1, 2)) / 2.0
    counts = noise_level.counts(np.clip(0.5 + 0.2 * across, 0.0, 1.0))
    assert noise_level.correlations(counts) == pytest.approx((0.0, -0.5), abs=0.05)
    assert not noise_level.independent(counts)
