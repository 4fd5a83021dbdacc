"""Linear regression, fitted on all training images at every noise level: one row per image."""

from collections.abc import Callable
from pathlib import Path

import pandas
import typer
from torch import Tensor

from domain_denoiser import layout, params
from domain_denoiser.base import one_writer, progress
from domain_denoiser.base.errors import one_sentence
from domain_denoiser.core import images
from domain_denoiser.study import classical, noise_levels
from domain_denoiser.study import params as study_params
from domain_denoiser.study import tables as study_tables


def main() -> None:
    read = params.read(Path("params.yaml"))
    study = study_params.read(Path("study/params.yaml"))
    clean = images.load(layout.clean_images("train"))

    def fitted(sigma: float) -> Callable[[Tensor], Tensor]:
        noisy = noise_levels.corrupt(clean, sigma, read.seed, "train")
        return noise_levels.on_arrays(classical.fit_linear(noisy, clean, study.linear.ridge))

    sigmas = study.levels.sigmas
    measured = noise_levels.measure(sigmas, fitted, "cpu")
    found = list(progress.track(measured, len(sigmas), "linear", "noise levels"))
    study_tables.save(pandas.concat(found), study_tables.FOLDER / "evaluation/linear.csv")


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
