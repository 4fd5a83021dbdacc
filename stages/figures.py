"""Pictures: reports/figures/."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas
import typer
from matplotlib.figure import Figure

from domain_denoiser import atomic, compute, figures, images, live, noisy, params, progress, writer
from domain_denoiser.errors import one_sentence
from domain_denoiser.models import stored
from domain_denoiser.params import Constant, Regime

FOLDER = Path("reports/figures")


def main(names: Annotated[list[str], typer.Argument(help="The models to show.")]) -> None:
    read = params.read(Path("params.yaml"))
    device = compute.prepare(read.compute)
    with live.follow(patience_s=60.0):
        for name in progress.track(names, len(names), "figures", "models"):
            original, corrupted, sigmas = shown(read.noisy[read.models[name].regime].root)
            network = stored.load(Path("models") / name, device)
            restored = images.to_uint8(network(images.to_float(corrupted, device)).clamp(0.0, 1.0))
            title = f"{name}: original, noisy, restored"
            save(figures.digits(original, corrupted, restored, sigmas, title), f"{name}/digits.png")
            history = pandas.read_csv(Path("models") / name / "history.csv")
            save(figures.learning_curves(history, f"{name}: training"), f"{name}/learning_curves.png")
        save(figures.psnr_against_noise(pandas.read_csv("reports/levels.csv")), "psnr_against_noise.png")


def shown(regime: Regime) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """The first test image of each digit, clean and at the stored noise levels that a regime trains on."""
    clean = images.mapped(Path("data/clean/test_images.npy"))
    chosen = figures.first_of_each(images.load_array(Path("data/clean/test_labels.npy")))
    folder = Path("data/noisy/test")
    low, high = (regime.sigma, regime.sigma) if isinstance(regime, Constant) else (regime.low, regime.high)
    sigmas = figures.levels_shown(low, high, noisy.load_levels(folder), len(chosen))
    at_level = {sigma: images.mapped(folder / noisy.level_file("test", sigma)) for sigma in set(sigmas)}
    return clean[chosen], np.stack([at_level[sigma][image] for image, sigma in zip(chosen, sigmas)]), sigmas


def save(figure: Figure, name: str) -> None:
    with atomic.file(FOLDER / name) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata=figures.as_png_metadata())


if __name__ == "__main__":
    with one_sentence(), writer.alone():
        typer.run(main)
