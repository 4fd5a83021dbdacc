import math

import pytest
import torch

from domain_denoiser.base.errors import BadInput
from domain_denoiser.core.noise import NOISES, add_noise, draw_sigma
from domain_denoiser.core.seeds import generator
from domain_denoiser.params import Constant, Given, Uniform

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


def test_given_noise_has_the_sigma_that_it_is_named_by():
    assert draw_sigma(Given(law="given", sigma=0.12), 10, torch.Generator()).equal(torch.full((10,), 0.12))


# All kinds of noise. NOISES holds them before they are clipped, when mean and variance are those of the formulas.

GREYS = (0.0, 0.1, 0.5, 0.9, 1.0)
VARIANCES = {
    "gaussian": lambda grey, sigma: sigma**2,
    "poisson": lambda grey, sigma: sigma**2 * grey,
    "poisson_gaussian": lambda grey, sigma: sigma**2 * grey + (sigma / 4) ** 2,
    "speckle": lambda grey, sigma: (sigma * grey) ** 2,
    # The mean of the squares, (1 - sigma) grey^2 + sigma / 2, without the square of the mean.
    "salt_and_pepper": lambda grey, sigma: (1 - sigma) * grey**2 + sigma / 2 - ((1 - sigma) * grey + sigma / 2) ** 2,
}
every_kind = pytest.mark.parametrize("kind", NOISES)


def unclipped(kind: str, clean: torch.Tensor, sigma: float) -> torch.Tensor:
    return NOISES[kind](clean, torch.full((len(clean),), sigma), generator("cpu", 2018, kind))


def test_every_kind_of_noise_has_a_formula_here():
    assert list(NOISES) == list(VARIANCES)


@every_kind
@pytest.mark.parametrize("sigma", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("grey", GREYS)
def test_mean_and_variance_are_those_of_the_formula(kind, grey, sigma):
    found = unclipped(kind, torch.full((1, 1, 400, 500), grey), sigma).double().flatten()
    mean = (1 - sigma) * grey + sigma / 2 if kind == "salt_and_pepper" else grey
    variance = VARIANCES[kind](grey, sigma)
    apart, n = found - mean, len(found)
    # Five standard errors of the mean and of the variance; the fourth moment is that of the sample.
    assert abs(apart.mean()) <= 5 * math.sqrt(variance / n) + 1e-7
    error = (apart**4).mean() - variance**2
    assert abs((apart**2).mean() - variance) <= 5 * math.sqrt(max(error, 0) / n) + 1e-7


@every_kind
def test_noise_that_is_added_lies_in_the_range_of_images(kind):
    clean = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    noisy = add_noise(kind, clean, torch.full((20,), 0.8), generator("cpu", 2018, kind))
    assert (noisy.min(), noisy.max()) == (0.0, 1.0)
    assert noisy.dtype == torch.float32


@every_kind
@pytest.mark.parametrize("channels", [1, 3])
def test_sigma_of_an_image_is_its_own_and_none_leaves_it_as_it_is(kind, channels):
    clean = torch.rand(3, channels, 200, 200, generator=torch.Generator().manual_seed(0))
    given = clean.clone()
    noisy = add_noise(kind, clean, torch.tensor([0.0, 0.05, 0.2]), generator("cpu", 2018, kind))
    assert clean.equal(given)
    assert noisy[0].equal(clean[0])
    none, faint, strong = (noisy - clean).square().flatten(1).mean(1)
    assert none == 0.0
    assert 0.0 < 2 * faint < strong


@every_kind
@pytest.mark.parametrize("sigma", [1e-4, 1e-6, 1e-7, 1e-12])
def test_so_little_noise_that_float32_loses_it_changes_nothing_that_one_sees(kind, sigma):
    clean = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    noisy = add_noise(kind, clean, torch.tensor([sigma]), generator("cpu", 2018, kind))
    if kind == "salt_and_pepper":  # a pixel in so many is lost
        assert (noisy != clean).sum() <= 3
    else:
        assert (noisy - clean).abs().max() <= 6 * sigma + 1e-5


@every_kind
def test_equal_seeds_draw_equal_noise_of_every_kind_and_others_do_not(kind):
    clean, sigma = torch.full((4, 3, 28, 28), 0.5), torch.full((4,), 0.3)
    one, again, other = (add_noise(kind, clean, sigma, generator("cpu", seed, "noise")) for seed in (1, 1, 2))
    assert one.equal(again)
    assert not one.equal(other)


@every_kind
def test_channels_pixels_and_images_have_noise_of_their_own(kind):
    noise = unclipped(kind, torch.full((3, 3, 100, 100), 0.4), 0.3) - 0.4
    pixels = noise.numel() // 9
    between = torch.corrcoef(noise.reshape(9, pixels))
    assert between[~torch.eye(9, dtype=torch.bool)].abs().max() < 6 / math.sqrt(pixels)
    for neighbours in (noise[..., 1:] * noise[..., :-1], noise[..., 1:, :] * noise[..., :-1, :]):
        apart = neighbours - noise.mean() ** 2
        assert apart.mean().abs() < 6 * noise.var() / math.sqrt(neighbours.numel())


def test_photons_are_counted():
    """sigma = 0.5: each is worth a quarter of white."""
    counts = 4 * unclipped("poisson", torch.full((1, 1, 100, 100), 0.5), 0.5)
    assert counts.equal(counts.round())
    # P(0) and P(2) of a Poisson distribution of mean 2.
    for count, share in ((0, math.exp(-2)), (2, 2 * math.exp(-2))):
        assert abs((counts == count).double().mean() - share) < 5 * math.sqrt(share * (1 - share) / 10_000)


def test_speckle_leaves_black_as_it_is():
    assert not unclipped("speckle", torch.zeros(2, 1, 28, 28), 1.0).any()


def test_salt_and_pepper_are_black_and_white_in_equal_shares_and_the_rest_stays():
    noisy = unclipped("salt_and_pepper", torch.full((1, 1, 300, 300), 0.4), 0.2)
    n = noisy.numel()
    for value, share in ((0.0, 0.1), (1.0, 0.1), (torch.tensor(0.4), 0.8)):
        assert abs((noisy == value).double().mean() - share) < 5 * math.sqrt(share * (1 - share) / n)
    assert set(noisy.unique().tolist()) == {0.0, 1.0, torch.tensor(0.4).item()}


def test_unknown_noise_is_refused():
    wanted = "the noise is 'rain', but one of gaussian, poisson, poisson_gaussian, speckle, salt_and_pepper is expected"
    with pytest.raises(BadInput, match=wanted):
        add_noise("rain", GREY, torch.zeros(IMAGES), torch.Generator())
