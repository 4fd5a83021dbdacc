"""Large images in pieces are what they are as a whole."""

import torch

from domain_denoiser.evaluation.pieces import in_pieces
from domain_denoiser.networks import architectures, unet
from domain_denoiser.runtime import tiles


def test_a_large_image_in_pieces_equals_the_whole(colour_network, colour_settings, monkeypatch):
    monkeypatch.setattr(tiles, "SIDE", 24)
    noisy = torch.rand(2, 3, 96, 131, generator=torch.Generator().manual_seed(1))
    seen = []

    def restore(some: torch.Tensor) -> torch.Tensor:
        seen.append(some.shape[-2:])
        return colour_network(some)

    found = in_pieces(restore, architectures.reach(colour_settings))(noisy)
    assert len(seen) == 2 * 4 * 6
    assert max(seen) < (96, 131)
    torch.testing.assert_close(found, colour_network(noisy), atol=1e-5, rtol=0)
    too_short = in_pieces(colour_network, (0, unet.STEP))(noisy)
    assert (too_short - found).abs().max() > 1e-3
    seen.clear()
    in_pieces(restore, None)(noisy)
    assert seen == [(96, 131)]
