"""A training of the study: noisy images made in memory, the best epoch's weights kept."""

import math
from pathlib import Path

import numpy as np
import pandas
import torch

from domain_denoiser import atomic, compute, images, noisy, progress, study_networks, training
from domain_denoiser.errors import BadInput
from domain_denoiser.models.initialisation import initialise
from domain_denoiser.params import Compute, MlpModel, Regime, UnetModel
from domain_denoiser.seeds import generator
from domain_denoiser.study_params import KerasModel


def fit(
    folder: Path,
    clean: dict[str, np.ndarray],
    regime: Regime,
    settings: MlpModel | UnetModel | KerasModel,
    on: Compute,
    seed: int,
) -> None:
    """Write the model to `folder`, as the stage train does it: model, history.csv and platform.json.

    clean: uint8 [N, 28, 28], the parts `train` and `val`. Raises BadInput if the training diverges.
    """
    device = compute.prepare(on)

    def corrupted(part: str) -> training.Images:
        made = noisy.corrupt(clean[part], regime, seed, settings.regime, part)
        stored = np.concatenate(list(made.parts))
        return training.Images(torch.from_numpy(clean[part]).to(device), torch.from_numpy(stored).to(device))

    train, val = corrupted("train"), corrupted("val")
    network = study_networks.build(settings)
    initialise(network, settings.initialisation, generator("cpu", seed, "initialisation"))
    history, best, weights = [], -math.inf, {}
    with progress.epochs(settings.epochs, str(folder), len(train.clean)) as show:
        try:
            for epoch in training.fit(network.to(device), train, val, regime, settings, seed):
                if epoch.val_psnr_db > best:
                    best = epoch.val_psnr_db
                    weights = {key: weight.clone() for key, weight in epoch.network.state_dict().items()}
                history.append(epoch.row())
                show(history[-1])
        except training.Diverged as error:
            raise BadInput(f"{folder}: {error}") from error
    study_networks.save(folder, weights, settings)
    with atomic.file(folder / "history.csv") as temporary:
        pandas.DataFrame(history).to_csv(temporary, index=False, lineterminator="\n")
    atomic.write_json(folder / "platform.json", compute.describe(on))


def load_clean(folder: Path, pattern: str) -> dict[str, np.ndarray]:
    """The parts `train` and `val` of a folder, whose files are called as the pattern says: "{}_images.npy"."""
    return {part: images.load(folder / pattern.format(part)) for part in ("train", "val")}
