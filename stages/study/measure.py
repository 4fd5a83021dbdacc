"""A network, or the noisy input itself, at every noise level: one row per image."""

from pathlib import Path
from typing import Annotated

import pandas
import typer

from domain_denoiser.base import one_writer, progress
from domain_denoiser.base.errors import one_sentence
from domain_denoiser.core import compute
from domain_denoiser.evaluation.baselines import BASELINES
from domain_denoiser.networks import stored
from domain_denoiser.study import noise_levels
from domain_denoiser.study import params as study_params
from domain_denoiser.study import tables as study_tables


def main(
    name: Annotated[str, typer.Argument(help="The name of the table.")],
    folder: Annotated[Path | None, typer.Argument(help="The folder of the model; none for the noisy input.")] = None,
) -> None:
    study = study_params.read(Path("study/params.yaml"))
    device = compute.prepare(study.compute)
    restore = BASELINES[name] if folder is None else stored.load(folder, device)
    sigmas = study.levels.sigmas
    measured = noise_levels.measure(sigmas, lambda _: restore, device)
    found = list(progress.track(measured, len(sigmas), f"measure {name}", "noise levels"))
    study_tables.save(pandas.concat(found), study_tables.FOLDER / "evaluation" / f"{name}.csv")


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
