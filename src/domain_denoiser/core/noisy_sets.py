"""The noisy datasets: written once by the stage corrupt, read by training, evaluation and figures.

The folder of a regime holds {train,val,gate}.npy, images as on disk, and {train,val,gate}_sigma.npy, float32 [N].
The folder of the noise levels holds {test,gate}_<sigma>.npy. In both, law.json records the sigma distribution.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from domain_denoiser.base import reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import images
from domain_denoiser.core.noise import add_noise, draw_sigma
from domain_denoiser.core.seeds import generator
from domain_denoiser.params import Constant, Given, Law, Levels, Regime, Uniform, check

if TYPE_CHECKING:
    from torch import Generator, Tensor

BATCH = 3_920_000  # values: 5,000 images of MNIST's size
LAW = "law.json"


class Noisy(NamedTuple):
    """Noisy images in parts, of the form and type of the clean ones, and the sigma of each image, float32 [N]."""

    parts: Iterator[np.ndarray]
    sigma: np.ndarray


def corrupt(clean: np.ndarray, regime: Regime, seed: int, *name: str) -> Noisy:
    """Draw sigma and noise for images as on disk; equal seed and name give equal bytes.

    The parts are computed lazily, BATCH values each; only the clean images of one part are read at a time.
    """
    sigma = draw_sigma(regime, len(clean), generator("cpu", seed, "sigma", *name))
    return Noisy(with_noise(regime.noise, clean, sigma, generator("cpu", seed, "noise", *name)), sigma.numpy())


def with_noise(kind: str, clean: np.ndarray, sigma: "Tensor", draw: "Generator") -> Iterator[np.ndarray]:
    """Noisy images in parts, of the form and type of the clean ones; sigma: that of each image, float32 [N]."""
    count = images.per_batch(BATCH, clean)
    for i in range(0, len(clean), count):
        part = images.to_float(clean[i : i + count], "cpu")
        yield images.stored(add_noise(kind, part, sigma[i : i + count], draw), clean.dtype)


def level_file(split: str, sigma: float) -> str:
    """The file name of the noisy images of a split at one noise level, as in test_0.5.npy."""
    return f"{split}_{sigma}.npy"


def load_regime(folder: Path) -> Regime:
    """The regime of a noisy training set, from its law.json.

    Raises BadInput if law.json is invalid or has no regime.
    """
    law = _load_law(folder)
    if not isinstance(law, (Constant, Uniform, Given)):
        raise BadInput(f"{folder / LAW} has the law levels, but a regime to train on is expected")
    return law


def load_levels(folder: Path) -> list[float]:
    """The noise levels of a noisy test set, ascending, from its law.json.

    Raises BadInput if law.json is invalid or has no noise levels.
    """
    law = _load_law(folder)
    if isinstance(law, Given):
        return [law.sigma]
    if not isinstance(law, Levels):
        raise BadInput(f"{folder / LAW} has the law {law.law}, but noise levels are expected")
    return law.sigmas


def _load_law(folder: Path) -> Constant | Uniform | Given | Levels:
    path = folder / LAW
    recorded = reading.from_json(reading.content(path, reading.LARGEST_TEXT), str(path))
    return check(Law, recorded, str(path)).root
