"""The two remarks of the post, on photos: `python benchmarks/post_remarks.py` (docs/own-images.md).

Such a network works on its own domain only, and convolutional layers build better systems. Parts of 28 x 28 pixels, the
size that the post's network takes, are cut from grey photos; the parts of a photo are a group, so that no photo is in
two splits. The other domain is MNIST, with the networks of this repository; wants its data and models (`make repro`).
"""

import csv
import json
import tempfile
from pathlib import Path
from typing import Annotated

import measure
import numpy as np
import own_images
import torch
import typer
from own_domains import SEED, photos

from domain_denoiser import layout
from domain_denoiser.core import images, metrics, noisy_sets
from domain_denoiser.networks import stored

SIDE = 28  # pixels
EACH = 400  # parts of a photo
LEAST_CONTRAST = 12.0  # standard deviation of grey values: parts of plain sky are all alike
SIGMA = 0.5
MODELS = ("plain", "fixed", "random", "conv")
GREY = np.array([0.299, 0.587, 0.114])  # of red, green and blue


def parts(photo: np.ndarray, draw: np.random.Generator) -> list[np.ndarray]:
    """Drawn parts of a grid that have some contrast, uint8 [28, 28]. photo: uint8 [H, W, 3]."""
    grey = (photo @ GREY).round().astype(np.uint8)
    height, width = grey.shape
    found = [
        grey[top : top + SIDE, left : left + SIDE]
        for top in range(0, height - SIDE + 1, SIDE)
        for left in range(0, width - SIDE + 1, SIDE)
    ]
    lively = [part for part in found if part.std() >= LEAST_CONTRAST]
    return [lively[place] for place in draw.permutation(len(lively))[:EACH]]


def cut(folder: Path) -> int:
    """Write the parts of all photos and groups.csv; how many there are."""
    domain = photos()
    given = {
        f"{name} {number:03}": part
        for name, photo in (domain.given | domain.held_out).items()
        for number, part in enumerate(parts(photo, np.random.default_rng(SEED)))
    }
    own_images.save(given, folder)
    with (folder / "groups.csv").open("w", newline="") as opened:
        table = csv.writer(opened, lineterminator="\n")
        table.writerow(["file", "group"])
        table.writerows([f"{name}.png", name.rpartition(" ")[0]] for name in given)
    return len(given)


@torch.inference_mode()
def reached(models: Path, data: Path, name: str) -> str:
    """Mean PSNR in dB of a model on the test images of a project, with the stored noise."""
    clean, noisy = images.mapped_pair(
        data / layout.clean_images("test"), data / layout.NOISE_LEVELS / noisy_sets.level_file("test", SIGMA)
    )
    restored = stored.load(models / layout.MODELS / name, "cpu")(images.to_float(noisy, "cpu")).clamp(0.0, 1.0)
    return f"{metrics.psnr_db(metrics.mse(restored, images.to_float(clean, 'cpu'))).mean():.2f}"


def main(minutes: Annotated[float, typer.Option(help="As of `denoise init`, for `conv`.")] = 2.0) -> None:
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        count = cut(folder / "photos")
        project = own_images.cloned(own_images.Project(folder / "project"))
        project.run("denoise", "init", str(folder / "photos"), "--minutes", str(minutes))
        project.run("git", "commit", "--quiet", "-m", "Parts of photos")
        project.run("dvc", "repro")
        means = json.loads((project.root / layout.METRICS).read_text())["models"]
        rows = [
            [name, *(f"{means[name][str(sigma)]['psnr_db']:.2f}" for sigma in project.params().levels)]
            for name in ("noisy", *MODELS)
        ]
        levels = measure.table(" | ".join(["σ", *map(str, project.params().levels)]), rows)
        crossed = [
            [
                name,
                reached(project.root, project.root, name),
                reached(here, project.root, name),
                reached(here, here, name),
                reached(project.root, here, name),
            ]
            for name in MODELS
        ]
    columns = ["", "photos, by its own", "photos, by MNIST's", "MNIST, by its own", "MNIST, by the photos'"]
    measure.keep(
        own_images.PAGE,
        "remarks",
        f"{count:,} parts of 28 x 28 pixels of the grey photos, each photo in one split; `--minutes {minutes:g}`. PSNR "
        "in dB, mean over the test parts. Whether convolutional layers build better systems:\n\n"
        f"{levels}\n\nAnd whether a network works on its own domain only, at σ = {SIGMA:g}:\n\n"
        + measure.table(" | ".join(columns), crossed),
    )


if __name__ == "__main__":
    typer.run(main)
