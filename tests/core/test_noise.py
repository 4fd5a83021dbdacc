import math

import pytest
import torch

from domain_denoiser.core.noise import add_noise, draw_sigma
from domain_denoiser.core.seeds import generator
from domain_denoiser.params import Constant, Uniform

IMAGES = 400
PIXELS = 28 * 28
GREY = torch.full((IMAGES, 1, 28, 28), 0.5)  # far from 0 and 1: small noise is never clipped


def drawn(clean=GREY, sigma=0.05, name="noise"):
    return add_noise("gaussian", clean, torch.full((len(clean),), sigma), generator("cpu", 2018, name))


def test_moments_are_those_of_a_normal_distribution():
    eps = ((drawn() - 0.5) / 0.05).double().flatten()
    # Five standard errors of the mean, of the standard deviation, of the third and of the fourth moment.
    n = len(eps)
    assert abs(eps.mean()) < 5 / math.sqrt(n)
    assert abs(eps.std() - 1) < 5 / math.sqrt(2 * n)
    assert abs((eps**3).mean()) < 5 * math.sqrt(15 / n)
    assert abs((eps**4).mean() - 3) < 5 * math.sqrt(96 / n)


def test_every_image_has_its_own_sigma():
    sigma = torch.linspace(0.01, 0.1, IMAGES)
    noisy = add_noise("gaussian", GREY, sigma, generator("cpu", 2018, "noise"))
    measured = (noisy - 0.5).flatten(1).std(1)
    assert torch.all((measured / sigma - 1).abs() < 6 / math.sqrt(2 * PIXELS))


def test_images_and_pixels_are_independent():
    eps = ((drawn() - 0.5) / 0.05).flatten(1)
    between_images = torch.corrcoef(eps)
    between_pixels = torch.corrcoef(eps.T)
    for correlation, samples in ((between_images, PIXELS), (between_pixels, IMAGES)):
        off_diagonal = correlation[~torch.eye(len(correlation), dtype=torch.bool)]
        assert off_diagonal.abs().max() < 6.5 / math.sqrt(samples)


@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_clipping_keeps_what_the_equation_says(sigma):
    # Of N(0.5, sigma) the share below 0 is Phi(-0.5 / sigma), and just as much lies above 1.
    noisy = drawn(sigma=sigma)
    assert noisy.min() == 0.0
    assert noisy.max() == 1.0
    expected = 0.5 * math.erfc(0.5 / sigma / math.sqrt(2))
    for value in (0.0, 1.0):
        assert abs((noisy == value).double().mean() - expected) < 5 * math.sqrt(0.25 / noisy.numel())


def test_equal_seed_gives_equal_noise_and_another_name_other_noise():
    assert drawn().equal(drawn())
    assert not drawn().equal(drawn(name="other"))


def test_no_sigma_changes_nothing():
    clean = torch.rand(IMAGES, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert drawn(clean, sigma=0.0).equal(clean)


def test_clean_images_stay_as_they_are():
    clean = GREY.clone()
    drawn(clean)
    assert clean.equal(GREY)


def test_constant_regime_has_one_sigma():
    sigma = draw_sigma(Constant(law="constant", noise="gaussian", sigma=0.5), 10, torch.Generator())
    assert sigma.equal(torch.full((10,), 0.5))


def test_uniform_regime_is_uniform():
    regime, n = Uniform(law="uniform", noise="gaussian", low=0.2, high=0.8), 100_000
    sigma = draw_sigma(regime, n, generator("cpu", 2018, "sigma")).double()
    assert sigma.min() >= 0.2
    assert sigma.max() <= 0.8
    # The largest distance between the empirical and the true distribution (Kolmogorov-Smirnov), at p = 1e-6.
    distance = (((sigma.sort().values - 0.2) / 0.6) - torch.arange(n) / n).abs().max()
    assert distance < 2.7 / math.sqrt(n)


def test_one_sigma_an_image():
    sigma = draw_sigma(
        Uniform(law="uniform", noise="gaussian", low=0.0, high=1.0), IMAGES, generator("cpu", 2018, "sigma")
    )
    assert len(sigma.unique()) == IMAGES
