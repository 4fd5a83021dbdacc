"""Large images in pieces are what they are as a whole."""

import pytest
import torch

from domain_denoiser.evaluation.pieces import in_pieces
from domain_denoiser.networks import architectures, unet
from domain_denoiser.runtime import tiles


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(2018)
    return architectures.build(SETTINGS).eval().requires_grad_(False)


SETTINGS = unet.Settings(
    architecture="unet",
    image_channels=3,
    residual=False,
    fine_channels=4,
    coarse_channels=8,
    fine_blocks=1,
    coarse_blocks=1,
)


def test_a_large_image_in_pieces_equals_the_whole(network, monkeypatch):
    monkeypatch.setattr(tiles, "SIDE", 24)
    noisy = torch.rand(2, 3, 96, 131, generator=torch.Generator().manual_seed(1))
    seen = []

    def restore(some: torch.Tensor) -> torch.Tensor:
        seen.append(some.shape[-2:])
        return network(some)

    found = in_pieces(restore, architectures.reach(SETTINGS))(noisy)
    assert len(seen) == 2 * 4 * 6
    assert max(seen) < (96, 131)
    torch.testing.assert_close(found, network(noisy), atol=1e-5, rtol=0)
    too_short = in_pieces(network, (0, unet.STEP))(noisy)
    assert (too_short - found).abs().max() > 1e-3
    seen.clear()
    in_pieces(restore, None)(noisy)
    assert seen == [(96, 131)]
