"""The stage `recognise` on colour images of 16 bits, and what restores by the profile that it writes."""

import runpy
from pathlib import Path

import numpy as np
import torch

from domain_denoiser import Denoiser, layout
from domain_denoiser.core import images
from domain_denoiser.core.noise import add_noise
from domain_denoiser.core.seeds import generator
from domain_denoiser.domain import foreign, profile
from domain_denoiser.networks import architectures, stored
from domain_denoiser.operations import export

STAGE = Path(__file__).parents[2] / "stages/recognise.py"
SMALL = {
    "image_channels": 3,
    "residual": False,
    "fine_channels": 4,
    "coarse_channels": 4,
    "fine_blocks": 1,
    "coarse_blocks": 0,
}
TINT = np.array([257, 180, 90], np.uint16)[:, None, None]


def noisy(clean: np.ndarray, sigma: float) -> np.ndarray:
    """As it comes out of a file of 16 bits, [N, 3, H, W]."""
    given = images.to_float(clean, "cpu")
    drawn = add_noise("gaussian", given, torch.full((len(clean),), sigma), generator("cpu", 1, "test"))
    return images.stored(drawn, clean.dtype)


class Kept:
    """A profile that keeps the sums that it is asked about."""

    def findings(self, added: np.ndarray) -> list[None]:
        self.added = added
        return [None] * len(added)


def test_what_restores_judges_images_as_the_stage_does(digits, values, write_params, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values["models"] = {"conv": values["models"]["conv"] | SMALL}
    write_params(values)
    clean = digits[:, None].astype(np.uint16) * TINT
    images.save(layout.clean_images("val"), clean[:150])
    settings = architectures.settings({"architecture": "unet"} | SMALL, "here")
    torch.manual_seed(2018)
    network = architectures.build(settings).requires_grad_(False)
    stored.save(layout.MODELS / "conv", network.state_dict(), settings)
    stage = runpy.run_path(str(STAGE))
    stage["main"]("conv")
    written = profile.parse((layout.MODELS / "conv" / layout.PROFILE).read_bytes(), "here")
    denoiser = Denoiser(export.graph(network, settings, written), "here", 1)
    given = noisy(clean[150:], 0.5)
    negatives = noisy(foreign.negative(clean[150:], np.random.default_rng(0)), 0.5)
    assert denoiser.foreign(given).count(None) > 25 > 0 == denoiser.foreign(negatives).count(None)
    denoiser.profile = Kept()
    denoiser(given)
    np.testing.assert_allclose(denoiser.profile.added, stage["_restored"](network, given, "cpu"), rtol=1e-4, atol=1e-2)
    np.testing.assert_array_equal(denoiser.profile.added[:, 0], 3 * 28 * 28)
