"""From a folder of clean images to restored ones: `python benchmarks/own_images.py photos` (docs/own-images.md).

Each domain goes the way of a user: some images are held out, `denoise init` makes a clone the project of the others,
`dvc repro` trains, the gate promotes, `denoise restore` restores the held-out images with noise. Beside it: the
project's classical filters, which are told nothing of the noise. Wants Debian's package lomiri-wallpapers-16.04.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import measure
import numpy as np
import typer
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from domain_denoiser import layout, params
from domain_denoiser.base import progress
from domain_denoiser.core.seeds import derive
from domain_denoiser.evaluation import filters
from domain_denoiser.evaluation.intervals import paired_difference

PAGE = Path("docs/own-images.md")
PICTURES = Path("docs/own-images")
PROGRAMS = Path(sys.executable).parent
WALLPAPERS = Path("/usr/share/backgrounds")
UNLIKE = ("analogpattern_by_Peter_Nerlich", "umang_by_Abhishek_Mudgal")  # a texture and a drawn gradient, no photos
REDUCED = 4  # times
HELD_OUT = 5  # every so manieth photo
SHOWN = 3  # held-out images in the picture
PART = 160  # pixels of the side of what the picture shows of an image

Images = dict[str, np.ndarray]  # name -> uint8 [H, W] or [H, W, 3]


class Domain(NamedTuple):
    """Images to make a project from, and images that it never sees."""

    given: Images
    held_out: Images


def photos() -> Domain:
    found = {}
    for path in sorted(WALLPAPERS.glob("*_by_*.jpg")):
        if path.stem not in UNLIKE:
            found[path.stem] = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB").reduce(REDUCED))
    names = list(found)
    return Domain(
        {name: found[name] for index, name in enumerate(names) if index % HELD_OUT},
        {name: found[name] for name in names[::HELD_OUT]},
    )


DOMAINS = {"photos": photos}


def filtered(name: str, strength: float, noisy: np.ndarray) -> np.ndarray:
    """A whole image, uint8, by a classical filter."""
    return (255 * filters.restore(name, strength, noisy / np.float32(255))).round().astype(np.uint8)


def with_noise(images: Images, sigma: float) -> Images:
    return {name: _noisy(image, sigma, name) for name, image in images.items()}


def _noisy(image: np.ndarray, sigma: float, name: str) -> np.ndarray:
    draw = np.random.default_rng(derive(2018, "own images", name, str(sigma)))
    return (255 * np.clip(image / 255 + sigma * draw.standard_normal(image.shape), 0.0, 1.0)).round().astype(np.uint8)


def psnr_db(restored: Images, clean: Images) -> np.ndarray:
    """Of each whole image, all channels together, float64 [N]."""
    return np.array([_psnr_db(restored[name], clean[name]) for name in clean])


def _psnr_db(restored: np.ndarray, clean: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((restored / 255 - clean / 255) ** 2)))


def save(images: Images, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, image in images.items():
        Image.fromarray(image).save(folder / f"{name}.png")
    return folder


def read(folder: Path) -> Images:
    return {path.stem: np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))}


class Project(NamedTuple):
    """A clone of this repository."""

    root: Path

    def run(self, *words: str) -> str:
        """What a command printed; it is shown too."""
        print(f"$ {' '.join(words)}", flush=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "PYTHON"))}
        environment |= {"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "PYTHONPATH": str(self.root / "src")}
        done = subprocess.run(words, cwd=self.root, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        print(done.stdout, flush=True)
        return done.stdout

    def strength(self, name: str) -> float:
        """Of a classical filter, as its stage chose it on val images."""
        return json.loads((self.root / layout.strength(name)).read_text())["strength"]


def made(domain: Domain, folder: Path, name: str, minutes: float) -> tuple[Project, float]:
    """A project of the images with a champion, and the seconds that `dvc repro` took."""
    project = Project(folder / "project")
    subprocess.run(["git", "clone", "--quiet", ".", project.root], check=True)
    project.run("denoise", "init", str(save(domain.given, folder / name)), "--minutes", str(minutes))
    project.run("git", "commit", "--quiet", "-m", f"The domain {name}")
    started = time.perf_counter()
    project.run("dvc", "repro")
    took = time.perf_counter() - started
    project.run("denoise", "sync")
    project.run("denoise", "promote")
    return project, took


def rows(domain: Domain, restored: dict[float, Images], results: dict[float, dict[str, Images]]) -> Iterator[list[str]]:
    for sigma, methods in results.items():
        before = with_noise(domain.held_out, sigma)
        ours = psnr_db(restored[sigma], domain.held_out)
        figures = {name: psnr_db(found, domain.held_out) for name, found in methods.items()}
        best = max(figures, key=lambda name: figures[name].mean())
        gain = paired_difference(figures[best], ours, 2018)
        colour = max(
            np.abs(restored[sigma][name].mean((0, 1)) - image.mean((0, 1))).max()
            for name, image in domain.held_out.items()
        )
        yield [
            f"{255 * sigma:.0f}",
            f"{psnr_db(before, domain.held_out).mean():.2f}",
            *(f"{found.mean():.2f}" for found in figures.values()),
            f"**{ours.mean():.2f}**",
            f"{gain.mean:+.2f} ({gain.low:+.2f} to {gain.high:+.2f})",
            f"{colour:.1f}",
        ]


def picture(domain: Domain, noisy: Images, best: Images, restored: Images, methods: tuple[str, str]) -> Figure:
    """A row for each of a few images: the middle of clean, noisy, filtered and restored."""
    names = list(domain.held_out)[:SHOWN]
    figure = Figure(figsize=(10, 2.6 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), 4, squeeze=False)
    for row, name in zip(axes, names):
        for axis, (title, held) in zip(
            row, (("clean", domain.held_out), ("noisy", noisy), (methods[0], best), (methods[1], restored))
        ):
            height, width = held[name].shape[:2]
            top, left = max(0, (height - PART) // 2), max(0, (width - PART) // 2)
            axis.imshow(
                held[name][top : top + PART, left : left + PART], cmap="gray", vmin=0, vmax=255, interpolation="nearest"
            )
            axis.set(xticks=[], yticks=[])
            axis.set_title(
                f"{title}, {_psnr_db(held[name], domain.held_out[name]):.1f} dB"
                if held is not domain.held_out
                else title
            )
    return figure


def main(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(DOMAINS)}.")],
    minutes: Annotated[float, typer.Option(help="As of `denoise init`.")] = 5.0,
) -> None:
    domain = DOMAINS[name]()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        project, took = made(domain, folder, name, minutes)
        levels = [sigma for sigma in params.read(project.root / "params.yaml").levels if sigma > 0]
        strengths = {called: project.strength(called) for called in filters.FILTERS}
        restored, results = {}, {}
        for sigma in progress.track(levels, len(levels), "filters", "noise levels"):
            noisy = with_noise(domain.held_out, sigma)
            source, target = save(noisy, folder / f"noisy {sigma}"), folder / f"restored {sigma}"
            project.run("denoise", "restore", str(source), str(target))
            restored[sigma] = read(target)
            results[sigma] = {
                called: {image: filtered(called, strength, pixels) for image, pixels in noisy.items()}
                for called, strength in strengths.items()
            }
        middle = levels[len(levels) // 2]
        found = {called: psnr_db(images, domain.held_out).mean() for called, images in results[middle].items()}
        best = max(found, key=found.__getitem__)
        drawn = picture(
            domain,
            with_noise(domain.held_out, middle),
            results[middle][best],
            restored[middle],
            (best.replace("_", " "), "ours"),
        )
        PICTURES.mkdir(exist_ok=True)
        drawn.savefig(PICTURES / f"{name}.png", dpi=80, metadata={"Software": None})
        columns = [
            "sigma, of 255",
            "noisy",
            *(called.replace("_", " ") for called in strengths),
            "ours",
            "to the best filter",
            "mean colour off by at most, of 255",
        ]
        said = (
            f"{len(domain.given):,} images to make the project from, {len(domain.held_out)} held out, which it never "
            f"saw. `denoise init --minutes {minutes:g}`; `dvc repro` took {took / 60:.0f} minutes. PSNR in dB of whole "
            "images, their mean; 95 % interval over the held-out images."
        )
        table = measure.table(" | ".join(columns), list(rows(domain, restored, results)))
    measure.keep(PAGE, name, f"{said}\n\n{table}")


if __name__ == "__main__":
    typer.run(main)
