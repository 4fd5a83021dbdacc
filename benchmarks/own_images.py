"""From a folder of clean images to restored ones: `python benchmarks/own_images.py photos` (docs/own-images.md).

Each domain goes the way of a user: some images are held out, `denoise init` makes a clone the project of the others,
`dvc repro` trains, the gate promotes, `denoise restore` restores the held-out images with noise. Beside it: the
project's classical filters, which are told nothing of the noise. own_domains.py says where images are from.
With `--careamics PYTHON`, photos are restored by CAREamics, too, in an environment of its own:

    python -m venv ../careamics && ../careamics/bin/pip install careamics==0.3.5
    python benchmarks/own_images.py photos --careamics ../careamics/bin/python
"""

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import measure
import numpy as np
import torch
import typer
import words_read
from matplotlib.figure import Figure
from own_domains import DOMAINS, SEED, Domain, Images
from PIL import Image

from domain_denoiser import layout, params
from domain_denoiser.base import progress
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import images as convention
from domain_denoiser.core import noise, seeds
from domain_denoiser.evaluation import filters
from domain_denoiser.evaluation.intervals import paired_difference

PAGE = Path("docs/own-images.md")
PICTURES = Path("docs/own-images")
CAREAMICS = Path("benchmarks/careamics_photos.py")
CARE = "CARE"
PROGRAMS = Path(sys.executable).parent
MODEL = "conv"
SHOWN = 3  # held-out images in the picture
PART = 160  # pixels of the side of what the picture shows of an image
COLOURS = 256  # of the picture's file, which is a quarter of one with all
GRADIENT = 512  # pixels of the side of a smooth image


def largest(image: np.ndarray) -> int:
    """The value that stands for 1."""
    return convention.LARGEST[image.dtype]


def unit(image: np.ndarray) -> np.ndarray:
    """float32 in [0, 1]."""
    return image / np.float32(largest(image))


def like(image: np.ndarray, found: np.ndarray) -> np.ndarray:
    """float in [0, 1] -> the type of the image."""
    return (found * largest(image)).round().astype(image.dtype)


def filtered(name: str, strength: float, noisy: np.ndarray) -> np.ndarray:
    """A whole image by a classical filter."""
    return like(noisy, filters.restore(name, strength, unit(noisy)))


def with_noise(images: Images, kind: str, sigma: float) -> Images:
    return {name: _noisy(image, kind, sigma, name) for name, image in images.items()}


def _noisy(image: np.ndarray, kind: str, sigma: float, name: str) -> np.ndarray:
    generator = seeds.generator("cpu", SEED, "own images", name, str(sigma))
    clean = torch.from_numpy(unit(image)).view(1, *image.shape[:2], -1).movedim(-1, 1)  # [1, C, H, W]
    found = noise.add_noise(kind, clean, torch.tensor([sigma]), generator)
    return like(image, found.movedim(1, -1).reshape(image.shape).numpy())


def rmse(restored: Images, clean: Images) -> np.ndarray:
    """Of each whole image, all channels together, in [0, 1] pixel units: float64 [N]."""
    return np.array([np.sqrt(np.mean((_exact(restored[name]) - _exact(clean[name])) ** 2)) for name in clean])


def psnr_db(restored: Images, clean: Images) -> np.ndarray:
    """Of each whole image, all channels together, float64 [N]."""
    return -20 * np.log10(rmse(restored, clean))


def _exact(image: np.ndarray) -> np.ndarray:
    return image / float(largest(image))


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

    def ran(self, *words: str) -> bool:
        """Whether a command ended well; what it prints is shown."""
        print(f"$ {' '.join(words)}", flush=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "PYTHON"))}
        environment |= {"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "PYTHONPATH": str(self.root / "src")}
        return subprocess.run(words, cwd=self.root, env=environment).returncode == 0

    def run(self, *words: str) -> None:
        """Raises BadInput if the command fails."""
        if not self.ran(*words):
            raise BadInput(f"`{' '.join(words)}` failed, as it says above")

    def params(self) -> params.Params:
        return params.read(self.root / layout.PARAMS)

    def strength(self, name: str) -> float:
        """Of a classical filter, as its stage chose it on val images."""
        return json.loads((self.root / layout.strength(name)).read_text())["strength"]


class Made(NamedTuple):
    """A project of one's own images, trained."""

    project: Project
    seconds: float  # that `dvc repro` took
    promoted: bool

    def restore(self, images: Images, folder: Path, name: str) -> Images:
        """By the champion, or by the model as it is if the gate kept it from promotion; both are one network."""
        source, target = save(images, folder / f"noisy {name}"), folder / f"restored {name}"
        self.project.run("denoise", "restore", *(() if self.promoted else ("--model", MODEL)), str(source), str(target))
        return read(target)


def cloned(project: Project) -> Project:
    """Of the working directory's repository."""
    subprocess.run(["git", "clone", "--quiet", ".", project.root], check=True)
    return project


def begun(domain: Domain, folder: Path, name: str, minutes: float, cache: Path) -> Project:
    """Before it is trained. cache: of DVC, which several projects may share."""
    project = cloned(Project(folder / "project"))
    project.run("dvc", "cache", "dir", "--local", str(cache))
    words = [str(save(domain.given, folder / name)), *domain.options, "--minutes", str(minutes)]
    if domain.noisy is not None:
        words += ["--noisy", str(save({given: domain.noisy[given] for given in domain.given}, folder / "noisy"))]
    project.run("denoise", "init", *words)
    project.run("git", "commit", "--quiet", "-m", f"The domain {name}")
    return project


def made(domain: Domain, folder: Path, name: str, minutes: float) -> Made:
    project = begun(domain, folder, name, minutes, folder / "cache")
    started = time.perf_counter()
    project.run("dvc", "repro")
    took = time.perf_counter() - started
    project.run("denoise", "sync")
    return Made(project, took, project.ran("denoise", "promote"))


class Level(NamedTuple):
    """The held-out images at one noise level."""

    sigma: float
    noisy: Images
    filtered: dict[str, Images]  # by each filter
    restored: Images
    others: dict[str, Images]  # by other programs that were trained on the same crops

    def best(self, clean: Images) -> str:
        """The filter with the highest mean PSNR on these very images, which favours it."""
        return max(self.filtered, key=lambda name: psnr_db(self.filtered[name], clean).mean())


def measured(domain: Domain, trained: Made, folder: Path) -> list[Level]:
    """At every noise level above 0, without other programs."""
    return [
        level._replace(restored=trained.restore(level.noisy, folder, str(level.sigma)))
        for level in by_filters(domain, trained.project)
    ]


def by_filters(domain: Domain, project: Project) -> list[Level]:
    """The same, restored by nothing but the filters."""
    settings = project.params()
    strengths = {name: project.strength(name) for name in settings.filters}
    return [_level(domain, settings.noisy["test"].root, sigma, strengths) for sigma in settings.levels if sigma > 0]


def _level(domain: Domain, law: params.Levels | params.Given, sigma: float, strengths: dict[str, float]) -> Level:
    if domain.noisy is not None:
        noisy = {name: domain.noisy[name] for name in domain.held_out}
    else:
        noisy = with_noise(domain.held_out, law.noise, sigma)
    by_filter = {
        name: {
            image: filtered(name, strength, pixels)
            for image, pixels in progress.track(noisy.items(), len(noisy), name, "images")
        }
        for name, strength in strengths.items()
    }
    return Level(sigma, noisy, by_filter, {}, {})


def beside_careamics(levels: list[Level], project: Project, folder: Path, python: Path, minutes: float) -> list[Level]:
    """The same levels with what CARE restores after so many minutes on the project's crops, by another Python."""
    crops, law = convention.load(project.root / layout.clean_images("train")), project.params().noisy["random"].root
    clean, generator = convention.to_float(crops, "cpu"), seeds.generator("cpu", SEED, "own images", "CARE")
    noisy = noise.add_noise(law.noise, clean, noise.draw_sigma(law, len(clean), generator), generator)
    place = folder / "CARE"
    (place / "held_out").mkdir(parents=True)
    np.save(place / "clean.npy", crops)
    np.save(place / "noisy.npy", convention.stored(noisy, crops.dtype))
    for level in levels:
        for name, image in level.noisy.items():
            np.save(place / "held_out" / f"{level.sigma} {name}.npy", image)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run([python, CAREAMICS, place, str(minutes)], check=True, env=environment)
    return [
        level._replace(
            others={CARE: {name: np.load(place / "restored" / f"{level.sigma} {name}.npy") for name in level.noisy}}
        )
        for level in levels
    ]


def levels_table(domain: Domain, levels: list[Level]) -> str:
    """PSNR at each noise level, whole images."""
    clean = domain.held_out
    depth = largest(next(iter(clean.values())))
    in_colour = next(iter(clean.values())).ndim == 3
    columns = [
        "sigma, of 255" if depth == 255 else "sigma at white",
        "noisy",
        *(name.replace("_", " ") for name in levels[0].filtered),
        "ours",
        "gain over the best filter",
        *(column for name in levels[0].others for column in (name, f"gain over {name}")),
        *["mean colour off by at most, of 255"] * in_colour,
    ]
    return measure.table(" | ".join(columns), [list(_levels_row(clean, level, depth, in_colour)) for level in levels])


def _levels_row(clean: Images, level: Level, depth: int, in_colour: bool) -> Iterator[str]:
    yield f"{255 * level.sigma:.0f}" if depth == 255 else f"{level.sigma:g}"
    yield f"{psnr_db(level.noisy, clean).mean():.2f}"
    yield from (f"{psnr_db(found, clean).mean():.2f}" for found in level.filtered.values())
    yield f"**{psnr_db(level.restored, clean).mean():.2f}**"
    yield _gain(level.filtered[level.best(clean)], level.restored, clean)
    for found in level.others.values():
        yield f"{psnr_db(found, clean).mean():.2f}"
        yield _gain(found, level.restored, clean)
    if in_colour:
        yield f"{max(np.abs(level.restored[name].mean((0, 1)) - clean[name].mean((0, 1))).max() for name in clean):.1f}"


def _gain(other: Images, ours: Images, clean: Images) -> str:
    gain = paired_difference(psnr_db(other, clean), psnr_db(ours, clean), SEED)
    return f"{gain.mean:+.2f} ({gain.low:+.2f} to {gain.high:+.2f})"


def with_levels(domain: Domain, trained: Made, levels: list[Level], folder: Path) -> str:
    care = f"{CARE} is CAREamics' with its own settings, trained on the same crops for as many minutes. "
    return f"{care if levels[0].others else ''}PSNR in dB:\n\n{levels_table(domain, levels)}"


def with_words(domain: Domain, trained: Made, levels: list[Level], folder: Path) -> str:
    """Drawn pages together, and each of the others: how near they are to the clean ones, and what tesseract reads."""
    (level,) = levels
    drawn = [name for name in domain.held_out if name in domain.texts and name.startswith("page")]
    groups = {f"{len(drawn)} pages": drawn} | {name: [name] for name in domain.held_out if name not in drawn}
    best = level.best({name: domain.held_out[name] for name in drawn})
    kinds = {"noisy": level.noisy, best.replace("_", " "): level.filtered[best], "ours": level.restored}
    rows = [
        [
            said,
            *(f"{255 * rmse(found, _of(domain.held_out, names)).mean():.1f}" for found in kinds.values()),
            *(f"{psnr_db(found, _of(domain.held_out, names)).mean():.2f}" for found in kinds.values()),
            _gain(level.filtered[best], level.restored, _of(domain.held_out, names)) if len(names) > 1 else "",
        ]
        for said, names in groups.items()
    ]
    columns = [
        "",
        *(f"RMSE {kind}" for kind in kinds),
        *(f"PSNR {kind}" for kind in kinds),
        "gain over the best filter",
    ]
    read_rows = [
        [said, *(_words_read(found, names, domain) for found in ({"clean": domain.held_out} | kinds).values())]
        for said, names in groups.items()
        if names[0] in domain.texts
    ]
    return (
        f"RMSE of 255, PSNR in dB, at original size; {best.replace('_', ' ')} is the filter with the highest PSNR on "
        f"the pages:\n\n{measure.table(' | '.join(columns), rows)}\n\nShare of the known words that tesseract "
        "reads, after enlarging by 2:\n\n" + measure.table(" | ".join(["", "clean", *kinds]), read_rows)
    )


def _of(images: Images, names: list[str]) -> Images:
    return {name: images[name] for name in names}


def _words_read(found: Images, names: list[str], domain: Domain) -> str:
    shares = [
        words_read.share(found[name], domain.texts[name])
        for name in progress.track(names, len(names), "tesseract", "pages")
    ]
    return f"{100 * np.mean(shares):.1f} %"


def with_gradient(domain: Domain, trained: Made, levels: list[Level], folder: Path) -> str:
    """And whether a smooth image keeps its histogram: no bands, no black."""
    smooth = np.linspace(0, 65_535, GRADIENT**2).round().astype(np.uint16).reshape(GRADIENT, GRADIENT)
    restored = trained.restore({"gradient": smooth}, folder, "gradient")["gradient"]
    apart = np.abs(_cumulative(smooth) - _cumulative(restored)).max()
    error = np.abs(smooth.astype(int) - restored).max()
    return (
        f"{with_levels(domain, trained, levels, folder)}\n\nA smooth image without noise, from black to white, has "
        f"{len(np.unique(smooth)):,} values; restored, {len(np.unique(restored)):,}. Their cumulative histograms "
        f"differ by at most {100 * apart:.2f} %, its pixels by at most {100 * error / 65_535:.2f} % of white."
    )


def _cumulative(image: np.ndarray) -> np.ndarray:
    """The share of pixels up to each value."""
    return np.bincount(image.ravel(), minlength=65_536).cumsum() / image.size


# What the section of each domain says of its held-out images.
SAID: dict[str, Callable[[Domain, Made, list[Level], Path], str]] = {
    "photos": with_levels,
    "documents": with_words,
    "micrographs": with_gradient,
    "clothes": with_levels,
}


def picture(clean: Images, level: Level) -> Figure:
    """A row for each of a few images: the middle of clean, noisy, filtered and restored, equally bright in a row."""
    best = level.best(clean)
    names = list(clean)[:: max(1, len(clean) // SHOWN)][:SHOWN]
    columns = {
        "noisy": level.noisy,
        best.replace("_", " "): level.filtered[best],
        "ours": level.restored,
    }
    figure = Figure(figsize=(8.2, 2.2 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), 1 + len(columns), squeeze=False)
    for row, name in zip(axes, names):
        white = np.percentile(clean[name], 99.9) if largest(clean[name]) > 255 else 255
        for axis, (title, held) in zip(row, ({"clean": clean} | columns).items()):
            shown = np.clip(_middle(held[name]) / white, 0, 1)
            axis.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            reached = "" if held is clean else f", {psnr_db(held, {name: clean[name]})[0]:.1f} dB"
            axis.set_title(f"{title}{reached}", fontsize=9)
    return figure


def _middle(image: np.ndarray) -> np.ndarray:
    top, left = (max(0, (side - PART) // 2) for side in image.shape[:2])
    return image[top : top + PART, left : left + PART]


def keep_picture(drawn: Figure, path: Path) -> None:
    """As PNG of few colours."""
    whole = io.BytesIO()
    drawn.savefig(whole, dpi=80)
    path.parent.mkdir(exist_ok=True)
    Image.open(whole).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def main(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(DOMAINS)}.")],
    minutes: Annotated[float, typer.Option(help="As of `denoise init`.")] = 5.0,
    careamics: Annotated[
        Path | None, typer.Option(help="The Python of an environment with CAREamics, which restores photos, too.")
    ] = None,
) -> None:
    if name not in DOMAINS:
        raise BadInput(f"there is no domain {name!r}, but {', '.join(DOMAINS)}")
    if careamics is not None and name != "photos":
        raise BadInput(f"--careamics is for photos alone, not for {name}")
    domain = DOMAINS[name]()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        trained = made(domain, folder, name, minutes)
        levels = measured(domain, trained, folder)
        if careamics is not None:
            levels = beside_careamics(levels, trained.project, folder, careamics.absolute(), minutes)
        keep_picture(picture(domain.held_out, levels[len(levels) // 2]), PICTURES / f"{name}.png")
        words = " ".join(["denoise init", *domain.options, f"--minutes {minutes:g}"])
        found = (
            f"{domain.said} {len(domain.given):,} to make the project from, {len(domain.held_out)} held out, which it "
            f"never saw. `{words}`; `dvc repro` took {trained.seconds / 60:.0f} minutes. The gate "
            f"{'promoted' if trained.promoted else 'did not promote'} the model. Figures are means over whole held-out "
            f"images, with 95 % intervals over them. {SAID[name](domain, trained, levels, folder)}"
        )
    measure.keep(PAGE, name, found)


if __name__ == "__main__":
    try:
        typer.run(main)
    except BadInput as error:
        sys.exit(str(error))
