"""Images at one noise level."""

import numpy as np
import pytest

from domain_denoiser.study import noise_levels


@pytest.mark.parametrize("sigma", [0.0, 0.5, 1.5])
def test_equal_names_give_equal_bytes(sigma, digits):
    made = noise_levels.corrupt(digits, sigma, 3, "test")
    assert made.dtype == np.uint8
    assert np.array_equal(made, noise_levels.corrupt(digits, sigma, 3, "test"))
    assert np.array_equal(made, digits) == (sigma == 0.0)
    if sigma > 0.0:
        assert not np.array_equal(made, noise_levels.corrupt(digits, sigma, 3, "train"))


def test_moments_beyond_training():
    grey = np.full((200, 28, 28), 128, np.uint8)
    small = noise_levels.corrupt(grey, 0.1, 1) / 255.0
    assert small.mean() == pytest.approx(128 / 255, abs=0.002)
    assert small.std() == pytest.approx(0.1, rel=0.01)
    # Clipping at both ends leaves white and black: P(eps > 0.498 / 1.5) each.
    assert (noise_levels.corrupt(grey, 1.5, 1) == 255).mean() == pytest.approx(0.370, abs=0.005)


def test_a_batch_goes_through_arrays_unchanged(digits):
    import torch

    shown = torch.rand(4, 1, 28, 28)
    assert torch.equal(noise_levels.on_arrays(lambda noisy: noisy)(shown), shown)
