"""Means over all test images: reports/metrics.json, and reports/levels.csv with its curve."""

from pathlib import Path

import typer

from domain_denoiser import params
from domain_denoiser.base import one_writer
from domain_denoiser.base.errors import BadInput, one_sentence
from domain_denoiser.runs import live

EVALUATION = Path("reports/evaluation")


def main() -> None:
    read = params.read(Path("params.yaml"))
    import pandas

    from domain_denoiser.base import atomic
    from domain_denoiser.evaluation import figures, tables
    from domain_denoiser.evaluation.baselines import BASELINES
    from domain_denoiser.evaluation.per_image import means

    names = [*BASELINES, *read.models]
    if leftovers := sorted(path.name for path in EVALUATION.glob("*") if path.stem not in names):
        raise BadInput(
            f"{EVALUATION} has {', '.join(leftovers)}, of no model in params.yaml: `denoise recover` removes them"
        )
    with live.follow(patience_s=60.0), atomic.together() as new:
        summary = {name: means(tables.load(EVALUATION / f"{name}.csv")) for name in names}
        new(Path("reports/metrics.json")).write_text(atomic.as_json({"models": summary}))
        rows = pandas.DataFrame(
            {"model": name, "sigma": float(sigma), **values}
            for name, levels in summary.items()
            for sigma, values in levels.items()
        )
        rows.to_csv(new(Path("reports/levels.csv")), index=False, float_format="%.9g", lineterminator="\n")
        figures.save(figures.psnr_against_noise(rows), new(Path("reports/figures/psnr_against_noise.png")))


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
