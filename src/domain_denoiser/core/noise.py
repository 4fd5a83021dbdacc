"""The noise:  noisy = clip(clean + sigma * eps, 0, 1),  eps ~ N(0, 1) per pixel.

Source: the 2018 post "Using Auto-Encoders to denoise domain specific images", whose `corruption_factor` is sigma.
"""

import torch
from torch import Tensor

from domain_denoiser.params import Constant, Regime


def add_noise(clean: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """Noisy images in [0, 1].

    clean: float32 [B, 1, 28, 28] in [0, 1]; sigma: float32 [B], in [0, 1] pixel units; both on generator's device.
    """
    eps = torch.empty_like(clean).normal_(generator=generator)
    return eps.mul_(sigma.view(-1, 1, 1, 1)).add_(clean).clamp_(0.0, 1.0)


def draw_sigma(regime: Regime, images: int, generator: torch.Generator) -> Tensor:
    """The sigma of each image, float32 [images], as the regime draws it: one draw an image."""
    if isinstance(regime, Constant):
        return torch.full((images,), regime.sigma, device=generator.device)
    return torch.empty(images, device=generator.device).uniform_(regime.low, regime.high, generator=generator)
