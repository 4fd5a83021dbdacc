"""One model, or the noisy input itself, on the stored noisy test images: reports/evaluation/<name>.csv."""

from pathlib import Path
from typing import Annotated

import typer

from domain_denoiser import layout, params
from domain_denoiser.base import one_writer, progress
from domain_denoiser.base.errors import one_sentence


def main(name: Annotated[str, typer.Argument(help="A folder under models/, or `noisy`.")]) -> None:
    read = params.read(Path("params.yaml"))
    import torch

    from domain_denoiser.base import atomic
    from domain_denoiser.core import compute, images, noisy_sets
    from domain_denoiser.evaluation import tables, wholes
    from domain_denoiser.evaluation.baselines import BASELINES
    from domain_denoiser.evaluation.per_image import evaluate
    from domain_denoiser.evaluation.pieces import in_pieces

    device = compute.prepare(read.compute)
    grids = wholes.load("test", len(images.mapped(layout.clean_images("test"))))
    if name in BASELINES:
        restore = BASELINES[name]
    else:
        from domain_denoiser.networks import architectures, stored

        settings = stored.load_settings(layout.MODELS / name)
        restore = in_pieces(stored.load(layout.MODELS / name, device), architectures.reach(settings))
        grids = wholes.fitting(grids, architectures.image_size(settings))
    folder = layout.NOISE_LEVELS
    levels = noisy_sets.load_levels(folder)
    rows = []
    for sigma in progress.track(levels, len(levels), f"evaluate {name}", "noise levels"):
        pair = images.mapped_pair(layout.clean_images("test"), folder / noisy_sets.level_file("test", sigma))
        clean, corrupted = (torch.from_numpy(array).to(device) for array in pair)
        rows.append(evaluate(restore, corrupted, clean, sigma, grids))
    with atomic.file(layout.table(name)) as temporary:
        tables.write(temporary, rows)


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
