"""The small tables of reports/study/: means and differences with intervals, and the spread between seeds."""

from pathlib import Path
from typing import Annotated

import pandas
import typer

from domain_denoiser import params
from domain_denoiser.base import one_writer
from domain_denoiser.base.errors import one_sentence
from domain_denoiser.evaluation import tables
from domain_denoiser.study import params as study_params
from domain_denoiser.study import tables as study_tables

EVALUATION = study_tables.FOLDER / "evaluation"


def main(
    methods: Annotated[list[str], typer.Argument(help="The measured methods.")],
    reseeded: Annotated[list[str], typer.Option(help="Models that were also trained with other seeds.")],
) -> None:
    read = params.read(Path("params.yaml"))
    study = study_params.read(Path("study/params.yaml"))
    measured = {name: tables.load(EVALUATION / f"{name}.csv") for name in methods}
    rows = [
        {"model": name, "seed": seed, "sigma": sigma, "psnr_db": float(psnr_db.mean())}
        for name in reseeded
        for seed in (read.seed, *study.seeds)
        for sigma, psnr_db in study_tables.by_level(
            measured[name] if seed == read.seed else tables.load(EVALUATION / f"{name}-{seed}.csv")
        ).items()
    ]
    seeds = pandas.DataFrame(rows, columns=["model", "seed", "sigma", "psnr_db"])
    spread = study_tables.spread(seeds)
    spreads = {(row.model, row.sigma): row.spread_db for row in spread.itertuples()}
    for name, table in {
        "levels": study_tables.levels(measured, read.seed),
        "seeds": seeds,
        "spread": spread,
        "differences": study_tables.differences(measured, spreads, read.seed),
    }.items():
        study_tables.save(table, study_tables.FOLDER / f"{name}.csv")


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
