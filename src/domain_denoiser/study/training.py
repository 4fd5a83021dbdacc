"""A training of the study: as in the main pipeline, but with noisy images made in memory."""

from pathlib import Path

import numpy as np
import torch

from domain_denoiser.core import compute, images, noisy_sets
from domain_denoiser.core.seeds import generator
from domain_denoiser.networks import architectures
from domain_denoiser.params import Compute, Model, Regime
from domain_denoiser.training import fitting, loop
from domain_denoiser.training.initialisation import initialise


def fit(
    folder: Path,
    clean: dict[str, np.ndarray],
    regime: Regime,
    settings: Model,
    on: Compute,
    seed: int,
    key: str,
) -> None:
    """Train a network and write it to `folder`, as the stage train does.

    clean: uint8 [N, 28, 28] of the parts `train` and `val`; key: the params key of the settings, for messages. Raises
    BadInput if the training diverges, or if this machine does not support the precision of the settings.
    """
    device = compute.prepare(on)
    compute.require(settings.precision, device, f"{key}.precision")

    def corrupted(part: str) -> loop.Images:
        made = noisy_sets.corrupt(clean[part], regime, seed, settings.regime, part)
        stored = np.concatenate(list(made.parts))
        return loop.Images(torch.from_numpy(clean[part]).to(device), torch.from_numpy(stored).to(device))

    described = architectures.settings(settings.network, key)
    network = architectures.build(described)
    initialise(network, settings.initialisation, generator("cpu", seed, "initialisation"))
    task = fitting.Task(network.to(device), corrupted("train"), corrupted("val"), regime, settings, seed)
    fitting.fit(folder, task, described, on, lambda row: None)


def load_clean(folder: Path, pattern: str) -> dict[str, np.ndarray]:
    """The parts `train` and `val` of a folder; pattern: their file names, as in "{}_images.npy"."""
    return {part: images.load(folder / pattern.format(part)) for part in ("train", "val")}
