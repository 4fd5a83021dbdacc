"""Means over all test images: reports/metrics.json, and reports/levels.csv with its figure."""

from pathlib import Path

import typer

from domain_denoiser import layout, params
from domain_denoiser.base import one_writer
from domain_denoiser.base.errors import BadInput, one_sentence
from domain_denoiser.runs import live


def main() -> None:
    read = params.read(Path("params.yaml"))
    import pandas

    from domain_denoiser.base import atomic
    from domain_denoiser.evaluation import figures, tables
    from domain_denoiser.evaluation.baselines import BASELINES
    from domain_denoiser.evaluation.per_image import means

    names = [*BASELINES, *read.filters, *read.models]
    if leftovers := sorted(path.name for path in layout.EVALUATION.glob("*") if path.stem not in names):
        raise BadInput(
            f"{layout.EVALUATION} has {', '.join(leftovers)}, but params.yaml has no such models or filters: "
            "`denoise recover` removes them"
        )
    with live.follow(patience_s=60.0), atomic.together() as new:
        summary = {name: means(tables.load(layout.table(name))) for name in names}
        new(layout.METRICS).write_text(atomic.as_json({"models": summary}))
        rows = pandas.DataFrame(
            {"model": name, "sigma": float(sigma), **values}
            for name, levels in summary.items()
            for sigma, values in levels.items()
        )
        rows.to_csv(new(layout.LEVELS), index=False, float_format="%.9g", lineterminator="\n")
        figures.save(figures.psnr_against_noise(rows), new(layout.PSNR_AGAINST_NOISE))


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
