"""Means over all test images: reports/metrics.json, and reports/levels.csv for the plot."""

from pathlib import Path
from typing import Annotated

import typer

from domain_denoiser import params
from domain_denoiser.base import one_writer
from domain_denoiser.base.errors import one_sentence


def main(names: Annotated[list[str], typer.Argument(help="What was evaluated: models and baselines.")]) -> None:
    params.read(Path("params.yaml"))
    import pandas

    from domain_denoiser.base import atomic
    from domain_denoiser.evaluation import tables
    from domain_denoiser.evaluation.per_image import means

    summary = {name: means(tables.load(Path("reports/evaluation") / f"{name}.csv")) for name in names}
    rows = [
        {"model": name, "sigma": float(sigma), **values}
        for name, levels in summary.items()
        for sigma, values in levels.items()
    ]
    with atomic.together() as new:
        new(Path("reports/metrics.json")).write_text(atomic.as_json({"models": summary}))
        levels = new(Path("reports/levels.csv"))
        pandas.DataFrame(rows).to_csv(levels, index=False, float_format="%.9g", lineterminator="\n")


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
