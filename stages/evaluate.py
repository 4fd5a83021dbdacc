"""One model, or the noisy input itself, on the stored noisy test images: reports/evaluation/<name>.csv."""

from pathlib import Path
from typing import Annotated

import pandas
import torch
import typer

from domain_denoiser import atomic, compute, images, noisy, params, progress, writer
from domain_denoiser.baselines import BASELINES
from domain_denoiser.errors import one_sentence
from domain_denoiser.evaluation import evaluate


def main(name: Annotated[str, typer.Argument(help="A folder under models/, or `noisy`.")]) -> None:
    read = params.read(Path("params.yaml"))
    device = compute.prepare(read.compute)
    if name in BASELINES:
        restore = BASELINES[name]
    else:
        from domain_denoiser.models import stored

        restore = stored.load(Path("models") / name, device)
    clean = torch.from_numpy(images.mapped(Path("data/clean/test_images.npy"))).to(device)
    folder = Path("data/noisy/test")
    levels = noisy.load_levels(folder)
    tables = []
    for sigma in progress.track(levels, len(levels), f"evaluate {name}", "noise levels"):
        corrupted = torch.from_numpy(images.mapped(folder / noisy.level_file("test", sigma))).to(device)
        tables.append(evaluate(restore, corrupted, clean, sigma))
    with atomic.file(Path("reports/evaluation") / f"{name}.csv") as temporary:
        # Nine digits tell every float32 apart.
        pandas.concat(tables).to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")


if __name__ == "__main__":
    with one_sentence(), writer.alone():
        typer.run(main)
