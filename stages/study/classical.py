"""A classical method at every noise level: one row per image, and the tuned strengths."""

from pathlib import Path
from typing import Annotated

import pandas
import typer

from domain_denoiser import layout, params
from domain_denoiser.base import atomic, one_writer, progress
from domain_denoiser.base.errors import BadInput, one_sentence
from domain_denoiser.core import images
from domain_denoiser.study import classical, noise_levels
from domain_denoiser.study import params as study_params
from domain_denoiser.study import tables as study_tables


def main(method: Annotated[str, typer.Argument(help="A key of `classical.strengths` in study/params.yaml.")]) -> None:
    read = params.read(Path("params.yaml"))
    study = study_params.read(Path("study/params.yaml"))
    if method not in classical.METHODS:
        raise BadInput(f"{method!r} is not a method; one of {', '.join(classical.METHODS)} is expected")
    strengths = getattr(study.classical.strengths, method)
    clean = images.load(layout.clean_images("train"))[: study.classical.tuning_images]

    def tuned(sigma: float) -> classical.Tuned:
        noisy = noise_levels.corrupt(clean, sigma, read.seed, "tuning")
        return classical.tune(method, strengths, noisy / 255.0, clean / 255.0, sigma)

    sigmas = study.levels.sigmas
    ready = {sigma: tuned(sigma) for sigma in progress.track(sigmas, len(sigmas), f"tune {method}", "noise levels")}
    measured = noise_levels.measure(sigmas, lambda sigma: noise_levels.on_arrays(ready[sigma]), "cpu")
    found = list(progress.track(measured, len(sigmas), method, "noise levels"))
    study_tables.save(pandas.concat(found), study_tables.FOLDER / "evaluation" / f"{method}.csv")
    chosen = {str(sigma): ready[sigma].strength for sigma in sigmas}
    atomic.write_json(study_tables.FOLDER / "strengths" / f"{method}.json", chosen)


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
