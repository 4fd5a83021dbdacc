"""Means over all test images: reports/metrics.json, and reports/levels.csv for the plot."""

from pathlib import Path
from typing import Annotated

import pandas
import typer

from domain_denoiser import atomic, params, tables, writer
from domain_denoiser.errors import one_sentence
from domain_denoiser.evaluation import means


def main(names: Annotated[list[str], typer.Argument(help="What was evaluated: models and baselines.")]) -> None:
    params.read(Path("params.yaml"))
    summary = {name: means(tables.load(Path("reports/evaluation") / f"{name}.csv")) for name in names}
    atomic.write_json(Path("reports/metrics.json"), {"models": summary})
    rows = [
        {"model": name, "sigma": float(sigma), **values}
        for name, levels in summary.items()
        for sigma, values in levels.items()
    ]
    with atomic.file(Path("reports/levels.csv")) as temporary:
        pandas.DataFrame(rows).to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")


if __name__ == "__main__":
    with one_sentence(), writer.alone():
        typer.run(main)
