"""The kinds of noise, by their names in params.yaml, and the draws of sigma."""

from collections.abc import Callable

import torch
from torch import Tensor

from domain_denoiser.base.errors import BadInput
from domain_denoiser.params import Constant, Regime


def gaussian(clean: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """noisy = clean + sigma * eps, with eps ~ N(0, 1) per pixel.

    Source: the 2018 post "Using Auto-Encoders to denoise domain specific images", whose `corruption_factor` is sigma.
    """
    eps = torch.empty_like(clean).normal_(generator=generator)
    return eps.mul_(sigma.view(-1, 1, 1, 1)).add_(clean)


# Each maps (clean, sigma, generator) to noisy: a new tensor, not yet clipped; see `add_noise`.
NOISES: dict[str, Callable[[Tensor, Tensor, torch.Generator], Tensor]] = {"gaussian": gaussian}


def add_noise(kind: str, clean: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """Noisy images, float32 [B, 1, H, W], clipped to [0, 1] as in an image file.

    kind: a name in NOISES; clean: float32 [B, 1, H, W] in [0, 1]; sigma: float32 [B], in [0, 1] pixel units; both on
    the device of the generator. Raises BadInput if there is no such noise.
    """
    if kind not in NOISES:
        raise BadInput(f"params.yaml: the noise is {kind!r}, but one of {', '.join(NOISES)} is expected")
    return NOISES[kind](clean, sigma, generator).clamp_(0.0, 1.0)


def draw_sigma(regime: Regime, images: int, generator: torch.Generator) -> Tensor:
    """One sigma per image, drawn from the regime: float32 [images] on the device of the generator."""
    if isinstance(regime, Constant):
        return torch.full((images,), regime.sigma, device=generator.device)
    return torch.empty(images, device=generator.device).uniform_(regime.low, regime.high, generator=generator)
