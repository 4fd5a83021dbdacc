"""The kinds of noise, by their names in params.yaml, and the draws of sigma."""

from collections.abc import Callable

import torch
from torch import Tensor

from domain_denoiser.base.errors import BadInput
from domain_denoiser.params import Constant, Given, Regime

SMALLEST = 1e-12  # variance of counts: less is lost in float32
READ_NOISE = 0.25  # of poisson_gaussian: the standard deviation of its Gaussian part, in multiples of sigma


def gaussian(clean: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """noisy = clean + sigma * eps, with eps ~ N(0, 1) per pixel.

    Source: the 2018 post "Using Auto-Encoders to denoise domain specific images", whose `corruption_factor` is sigma.
    """
    eps = torch.empty_like(clean).normal_(generator=generator)
    return eps.mul_(sigma.view(-1, 1, 1, 1)).add_(clean)


def poisson(clean: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """Counts of photons, noisy = a * Poisson(clean / a) with a = sigma^2: sigma is the standard deviation at white.

    Source: Foi, Trimeche, Katkovnik & Egiazarian 2008, without the Gaussian part.
    """
    a = sigma.square().clamp(min=SMALLEST).view(-1, 1, 1, 1)
    counts = torch.poisson(clean / a, generator=generator)
    return torch.where(sigma.view(-1, 1, 1, 1) > 0.0, counts * a, clean)


def poisson_gaussian(clean: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """`poisson`, and then the noise of reading out: Gaussian, with a quarter of sigma.

    Source: Foi, Trimeche, Katkovnik & Egiazarian 2008, variance a * clean + b, with a = sigma^2 and b = (sigma / 4)^2.
    """
    return gaussian(poisson(clean, sigma, generator), READ_NOISE * sigma, generator)


def speckle(clean: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """noisy = clean * (1 + sigma * eps), with eps ~ N(0, 1) per pixel: multiplicative, as in radar and ultrasound.

    Source: Lee 1981, "Speckle analysis and smoothing of synthetic aperture radar images".
    """
    eps = torch.empty_like(clean).normal_(generator=generator)
    return eps.mul_(sigma.view(-1, 1, 1, 1)).add_(1.0).mul_(clean)


def salt_and_pepper(clean: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """A share sigma of the values is lost: half of them become 0, half become 1.

    Source: Gonzalez & Woods, "Digital Image Processing", bipolar impulse noise.
    """
    drawn = torch.empty_like(clean).uniform_(generator=generator)  # [0, 1)
    share = sigma.view(-1, 1, 1, 1)
    return torch.where(drawn < share, (drawn < 0.5 * share).to(clean.dtype), clean)


# Each maps (clean, sigma, generator) to noisy: a new tensor, not yet clipped; see `add_noise`.
NOISES: dict[str, Callable[[Tensor, Tensor, torch.Generator], Tensor]] = {
    "gaussian": gaussian,
    "poisson": poisson,
    "poisson_gaussian": poisson_gaussian,
    "speckle": speckle,
    "salt_and_pepper": salt_and_pepper,
}


def add_noise(kind: str, clean: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """Noisy images, float32 [B, C, H, W], clipped to [0, 1] as in an image file.

    kind: a name in NOISES; clean: float32 [B, C, H, W] in [0, 1]; sigma: float32 [B], in [0, 1] pixel units; both on
    the device of the generator. Raises BadInput if there is no such noise.
    """
    if kind not in NOISES:
        raise BadInput(f"params.yaml: the noise is {kind!r}, but one of {', '.join(NOISES)} is expected")
    return NOISES[kind](clean, sigma, generator).clamp_(0.0, 1.0)


def draw_sigma(regime: Regime, images: int, generator: torch.Generator) -> Tensor:
    """One sigma per image, drawn from the regime: float32 [images] on the device of the generator."""
    if isinstance(regime, (Constant, Given)):
        return torch.full((images,), regime.sigma, device=generator.device)
    return torch.empty(images, device=generator.device).uniform_(regime.low, regime.high, generator=generator)
