"""The noises, by the names that params.yaml has for them, and how their sigma is drawn."""

from collections.abc import Callable

import torch
from torch import Tensor

from domain_denoiser.base.errors import BadInput
from domain_denoiser.params import Constant, Regime


def gaussian(clean: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """noisy = clean + sigma * eps,  eps ~ N(0, 1) per pixel.

    Source: the 2018 post "Using Auto-Encoders to denoise domain specific images", whose `corruption_factor` is sigma.
    """
    eps = torch.empty_like(clean).normal_(generator=generator)
    return eps.mul_(sigma.view(-1, 1, 1, 1)).add_(clean)


# Each: (clean, sigma, generator) -> noisy, a new tensor, not clipped yet; see `add_noise`.
NOISES: dict[str, Callable[[Tensor, Tensor, torch.Generator], Tensor]] = {"gaussian": gaussian}


def add_noise(kind: str, clean: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """Noisy images, clipped to [0, 1] as an image file would be.

    kind: a name in NOISES; clean: float32 [B, 1, H, W] in [0, 1]; sigma: float32 [B], in [0, 1] pixel units; both on
    generator's device. Raises BadInput if there is no such noise.
    """
    if kind not in NOISES:
        raise BadInput(f"params.yaml: the noise is {kind!r}, but one of {', '.join(NOISES)} is wanted")
    return NOISES[kind](clean, sigma, generator).clamp_(0.0, 1.0)


def draw_sigma(regime: Regime, images: int, generator: torch.Generator) -> Tensor:
    """The sigma of each image, float32 [images], as the regime draws it: one draw an image."""
    if isinstance(regime, Constant):
        return torch.full((images,), regime.sigma, device=generator.device)
    return torch.empty(images, device=generator.device).uniform_(regime.low, regime.high, generator=generator)
