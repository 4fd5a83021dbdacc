"""What the post leaves open, chosen on val images: trains one model with one setting changed at a time.

make ablation                                       # every trial of docs/decisions/mlp-settings.md, at night
PYTHONPATH=src python benchmarks/ablation.py fixed learning_rate=0.002 schedule=linear
"""

import sys
import time
from pathlib import Path

import pandas
from ruamel.yaml import YAML

from domain_denoiser import compute, images, models, noisy, params, training
from domain_denoiser.models.initialisation import initialise
from domain_denoiser.seeds import generator


def trial(read: params.Params, model: params.Model, device) -> dict[str, float]:
    """Best val PSNR, the epoch it was reached in and the seconds of training."""

    folder = Path("data/noisy") / model.regime

    def load(split: str) -> training.Images:
        return training.Images(
            images.to_float(images.load(Path(f"data/clean/{split}_images.npy")), device),
            images.to_float(images.load(folder / f"{split}.npy"), device),
        )

    train, val = load("train"), load("val")
    network = models.build(model)
    initialise(network, model.initialisation, generator("cpu", read.seed, "initialisation"))
    started = time.perf_counter()
    epochs = list(training.fit(network.to(device), train, val, noisy.load_regime(folder), model, read.seed))
    best = max(epochs, key=lambda epoch: epoch.val_psnr_db)
    return {
        "val_psnr_db": best.val_psnr_db,
        "last_psnr_db": epochs[-1].val_psnr_db,
        "epoch": best.epoch,
        "train_loss": epochs[-1].train_loss,
        "val_loss": best.val_loss,
        "seconds": time.perf_counter() - started,
    }


def main(name: str, *changes: str) -> None:
    read = params.read(Path("params.yaml"))
    device = compute.prepare(read.compute)
    changed = {key: YAML(typ="safe").load(value) for key, value in (change.split("=") for change in changes)}
    model = params.check(type(read.models[name]), read.models[name].model_dump() | changed, "ablation")
    row = {"model": name, "change": " ".join(changes) or "as params.yaml", **trial(read, model, device)}
    pandas.DataFrame([row]).to_csv(sys.stdout, index=False, header=False, float_format="%.4f")


if __name__ == "__main__":
    main(*sys.argv[1:])
