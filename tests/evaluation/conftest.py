import pytest
import torch

from domain_denoiser.networks import architectures, unet


@pytest.fixture(scope="session")
def colour_settings() -> unet.Settings:
    """Of a small network for images in colour."""
    return unet.Settings(
        architecture="unet",
        image_channels=3,
        residual=False,
        fine_channels=4,
        coarse_channels=8,
        fine_blocks=1,
        coarse_blocks=1,
    )


@pytest.fixture(scope="session")
def network(colour_settings: unet.Settings) -> torch.nn.Module:
    torch.manual_seed(2018)
    return architectures.build(colour_settings).eval().requires_grad_(False)
