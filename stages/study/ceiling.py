"""The large model compared with the one of the pipeline: reports/study/ceiling.csv."""

from pathlib import Path
from typing import Annotated

import typer

from domain_denoiser import params
from domain_denoiser.base import one_writer
from domain_denoiser.base.errors import one_sentence
from domain_denoiser.evaluation import tables
from domain_denoiser.study import tables as study_tables

EVALUATION = study_tables.FOLDER / "evaluation"


def main(
    name: Annotated[str, typer.Argument(help="The large model.")],
    than: Annotated[str, typer.Argument(help="The model to compare it with.")],
) -> None:
    read = params.read(Path("params.yaml"))
    measured = {method: tables.load(EVALUATION / f"{method}.csv") for method in (than, name)}
    mean = study_tables.levels({name: measured[name]}, read.seed)[["sigma", "psnr_db"]]
    gain = study_tables.differences(measured, {}, read.seed).drop(columns=["spread_db", "verdict"])
    study_tables.save(gain.merge(mean, on="sigma"), study_tables.FOLDER / "ceiling.csv")


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
