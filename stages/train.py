"""One denoiser: models/<name>/."""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from domain_denoiser import atomic, live, params, progress
from domain_denoiser.errors import BadInput, one_sentence


def main(name: Annotated[str, typer.Argument(help="A key of `models` in params.yaml.")]) -> None:
    read = params.read(Path("params.yaml"))
    if name not in read.models:
        raise BadInput(f"params.yaml: models has {', '.join(read.models)}, but not {name!r}")
    # Tracking comes up on the second core while torch is imported here on the first.
    with live.follow(patience_s=8.0) as tell:
        train(name, read.models[name], read.compute, read.seed, tell)


def train(
    name: str,
    settings: params.Model,
    on: params.Compute,
    seed: int,
    tell: Callable[[dict[str, float]], None],
) -> None:
    """Write models/<name>/ and tell of each epoch."""
    import torch

    from domain_denoiser import compute, images, models, noisy, training
    from domain_denoiser.models import stored
    from domain_denoiser.models.initialisation import initialise
    from domain_denoiser.seeds import generator

    device = compute.prepare(on)
    folder = Path("data/noisy") / settings.regime

    def load(split: str) -> training.Images:
        clean, corrupted = Path(f"data/clean/{split}_images.npy"), folder / f"{split}.npy"
        return training.Images(*(torch.from_numpy(images.mapped(path)).to(device) for path in (clean, corrupted)))

    train, val, regime = load("train"), load("val"), noisy.load_regime(folder)
    network = models.build(settings)
    initialise(network, settings.initialisation, generator("cpu", seed, "initialisation"))

    history, best, weights = [], -math.inf, {}
    with progress.epochs(settings.epochs, f"train {name}", len(train.clean)) as show:
        try:
            for epoch in training.fit(network.to(device), train, val, regime, settings, seed):
                if epoch.val_psnr_db > best:
                    best = epoch.val_psnr_db
                    weights = {key: weight.clone() for key, weight in epoch.network.state_dict().items()}
                history.append(epoch.row())
                tell(history[-1])
                show(history[-1])
        except training.Diverged as error:
            print(f"error: train {name}: {error}", file=sys.stderr)
            sys.exit(1)
    stored.save(Path("models") / name, weights, params.network(settings))
    write_history(Path("models") / name / "history.csv", history)
    atomic.write_json(Path("models") / name / "platform.json", compute.describe(on))


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    import pandas

    with atomic.file(path) as temporary:
        pandas.DataFrame(history).to_csv(temporary, index=False, lineterminator="\n")


if __name__ == "__main__":
    with one_sentence():
        typer.run(main)
