"""Noisy images at one noise level, also above the levels of training, and the study's folder for them.

data/study/levels holds clean.npy and test_<sigma>.npy, uint8 [N, 28, 28].
"""

from collections.abc import Callable, Iterator

import numpy as np
import pandas
import torch
from torch import Tensor

from domain_denoiser import layout
from domain_denoiser.core import images
from domain_denoiser.core.noisy_sets import level_file, with_noise
from domain_denoiser.core.seeds import generator
from domain_denoiser.evaluation.per_image import evaluate
from domain_denoiser.evaluation.wholes import ALONE

FOLDER = layout.STUDY_LEVELS
CLEAN = "clean.npy"


def corrupt(clean: np.ndarray, sigma: float, seed: int, *name: str) -> np.ndarray:
    """Noisy images, uint8 [N, 28, 28]; sigma must be at least 0. Equal seed, sigma and name give equal bytes."""
    draw = generator("cpu", seed, "noise", "study", str(sigma), *name)
    return np.concatenate(list(with_noise("gaussian", clean, torch.full((len(clean),), sigma), draw)))


def measure(
    sigmas: list[float], restorer: Callable[[float], Callable[[Tensor], Tensor]], device: "torch.device | str"
) -> Iterator[pandas.DataFrame]:
    """Yield the per-image table of each noise level; `restorer` returns the denoiser for a level."""
    clean = images.to_float(images.load(FOLDER / CLEAN), device)
    for sigma in sigmas:
        noisy = images.to_float(images.load(FOLDER / level_file("test", sigma)), device)
        yield evaluate(restorer(sigma), noisy, clean, sigma, [ALONE] * len(clean))


def on_arrays(restore: Callable[[np.ndarray], np.ndarray]) -> Callable[[Tensor], Tensor]:
    """Make a denoiser of tensors [N, 1, H, W] from a denoiser of arrays, float64 [N, H, W]."""
    return lambda noisy: torch.from_numpy(restore(noisy.squeeze(1).double().cpu().numpy())).unsqueeze(1).to(noisy)
