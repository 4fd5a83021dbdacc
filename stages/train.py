"""One denoiser: models/<name>/."""

import math
import sys
from pathlib import Path
from typing import Annotated

import pandas
import typer

from domain_denoiser import atomic, compute, images, live, models, noisy, params, progress, training
from domain_denoiser.errors import BadInput, one_sentence
from domain_denoiser.models import stored
from domain_denoiser.models.initialisation import initialise
from domain_denoiser.seeds import generator


def main(name: Annotated[str, typer.Argument(help="A key of `models` in params.yaml.")]) -> None:
    read = params.read(Path("params.yaml"))
    if name not in read.models:
        raise BadInput(f"params.yaml: models has {', '.join(read.models)}, but not {name!r}")
    settings = read.models[name]
    device = compute.prepare(read.compute)
    folder = Path("data/noisy") / settings.regime

    def load(split: str) -> training.Images:
        clean, corrupted = Path(f"data/clean/{split}_images.npy"), folder / f"{split}.npy"
        return training.Images(
            images.to_float(images.load(clean), device), images.to_float(images.load(corrupted), device)
        )

    train, val, regime = load("train"), load("val"), noisy.load_regime(folder)
    network = models.build(settings)
    initialise(network, settings.initialisation, generator("cpu", read.seed, "initialisation"))

    history, best, weights = [], -math.inf, {}
    with (
        live.follow(patience_s=8.0) as tell,
        progress.epochs(settings.epochs, f"train {name}", len(train.clean)) as show,
    ):
        try:
            for epoch in training.fit(network.to(device), train, val, regime, settings, read.seed):
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
        atomic.write_json(Path("models") / name / "platform.json", compute.describe(read.compute))


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    with atomic.file(path) as temporary:
        pandas.DataFrame(history).to_csv(temporary, index=False, lineterminator="\n")


if __name__ == "__main__":
    with one_sentence():
        typer.run(main)
