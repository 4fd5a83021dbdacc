"""What the post leaves open, chosen on val images: train with one setting changed at a time.

make ablation                                                               # every trial below, a row each
PYTHONPATH=src python benchmarks/ablation.py fixed learning_rate=0.002      # one trial

On one thread, so that it may run beside other work.
"""

import sys
from pathlib import Path

import measure
import pandas
import torch
from ruamel.yaml import YAML

from domain_denoiser import params
from domain_denoiser.base import atomic, progress
from domain_denoiser.base.errors import one_sentence
from domain_denoiser.core import compute, images, noisy_sets
from domain_denoiser.core.seeds import generator
from domain_denoiser.networks import architectures
from domain_denoiser.training import loop
from domain_denoiser.training.initialisation import initialise

# From the settings in params.yaml, one thing changed at a time; at least four settings of what the post leaves open.
MLP = (
    "fixed",
    "fixed output=hard_sigmoid",
    "fixed output=linear",
    "fixed output=relu",
    "fixed learning_rate=0.0005",
    "fixed learning_rate=0.001",
    "fixed learning_rate=0.002",
    "fixed learning_rate=0.005",
    "fixed learning_rate=0.008",
    "fixed schedule=constant",
    "fixed schedule=linear",
    "fixed schedule=cosine",
    "fixed initialisation=kaiming",
    "fixed initialisation=orthogonal",
    "fixed initialisation=pytorch",
    "fixed loss=rmse",
    "fixed optimizer=rmsprop_corrected",
    "fixed optimizer=adam",
    "fixed beta2=0.9",
    "fixed beta2=0.999",
    "fixed ema=0.999",
    "fixed noise=frozen",
    "random",
    "random noise=frozen",
    "random learning_rate=0.002",
    "random learning_rate=0.005",
    "random loss=rmse",
    "plain",
    "plain learning_rate=0.002",
    "plain learning_rate=0.005",
)
# Three epochs each, so that the table takes minutes; a longer training may order close ones otherwise.
CONV = tuple(
    f"conv epochs=3 {change}"
    for change in (
        "",
        "loss=mse",
        "fine_channels=24",
        "fine_channels=48",
        "coarse_channels=48",
        "coarse_channels=96",
        "fine_blocks=2",
        "fine_blocks=4",
        "coarse_blocks=2",
        "coarse_blocks=4",
        "batch_size=32",
        "learning_rate=0.002",
        "learning_rate=0.006",
        "beta2=0.999",
        "schedule=cosine",
        "ema=0.99",
        "initialisation=kaiming",
        "optimizer=rmsprop",
    )
)
TABLES = {"mlp-settings.csv": MLP, "conv-settings.csv": CONV}


def trial(read: params.Params, model: params.Model, device) -> dict[str, float]:
    """Best val PSNR, the epoch it was reached in, and the losses."""

    folder = Path("data/noisy") / model.regime

    def load(split: str) -> loop.Images:
        paths = Path(f"data/clean/{split}_images.npy"), folder / f"{split}.npy"
        return loop.Images(*(torch.from_numpy(images.mapped(path)).to(device) for path in paths))

    train, val = load("train"), load("val")
    network = architectures.build(model)
    initialise(network, model.initialisation, generator("cpu", read.seed, "initialisation"))
    epochs = list(loop.fit(network.to(device), train, val, noisy_sets.load_regime(folder), model, read.seed, None))
    best = max(epochs, key=lambda epoch: epoch.val_psnr_db)
    return {
        "val_psnr_db": best.val_psnr_db,
        "last_psnr_db": epochs[-1].val_psnr_db,
        "epoch": best.epoch,
        "train_loss": epochs[-1].train_loss,
        "val_loss": best.val_loss,
    }


def row(name: str, *changes: str) -> pandas.DataFrame:
    """One trial: the model `name` of params.yaml with some settings changed, each written key=value."""
    read = params.read(Path("params.yaml"))
    device = compute.prepare(read.compute.model_copy(update={"threads": 1}))
    changed = {key: YAML(typ="safe").load(value) for key, value in (change.split("=") for change in changes)}
    model = params.check(type(read.models[name]), read.models[name].model_dump() | changed, "the trial")
    described = {"model": name, "change": " ".join(changes) or "as params.yaml"}
    return pandas.DataFrame([described | trial(read, model, device)])


def show(table: Path) -> None:
    """Put the trials into the decision beside their table, with what each changes to the first of its model."""
    trials, first, rows = pandas.read_csv(table), {}, []
    for trial in trials.itertuples():
        first.setdefault(trial.model, trial.val_psnr_db)
        gain = trial.val_psnr_db - first[trial.model]
        rows.append([f"`{trial.model}`", trial.change, f"{trial.val_psnr_db:.2f}", f"{gain:+.2f}", str(trial.epoch)])
    header = "model | changed | best val PSNR, dB | to the first | in epoch"
    measure.keep(table.with_suffix(".md"), "the trials", measure.table(header, rows))


def main(*words: str) -> None:
    if words[:1] == ("--all",):
        [target] = words[1:]
        trials, rows = TABLES[Path(target).name], []
        for trial_words in progress.track(trials, len(trials), "ablation", "trials"):
            rows.append(row(*trial_words.split()))
            with atomic.file(Path(target)) as temporary:  # what was measured stays, should it be interrupted
                pandas.concat(rows).to_csv(temporary, index=False, float_format="%.4f")
        show(Path(target))
    else:
        row(*words).to_csv(sys.stdout, index=False, float_format="%.4f")


if __name__ == "__main__":
    with one_sentence():
        main(*sys.argv[1:])
