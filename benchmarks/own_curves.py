"""dB against the number of photos and against minutes of training: `python benchmarks/own_curves.py`, half an hour.

Each point goes the way of own_images.py, with fewer photos to train on or other minutes. Val, gate and test photos,
those held out and their noise are the same, so the filters are, too. The clones share a DVC cache: what they have in
common is made once.
"""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import measure
import own_images
import typer
from matplotlib.figure import Figure
from own_domains import Domain, photos

from domain_denoiser.base.errors import BadInput
from domain_denoiser.data import folders
from domain_denoiser.operations.init import presets


def split(domain: Domain) -> dict[str, list[str]]:
    """As the stage assigns the photos to train, val, gate and test."""
    _, read = presets.read(presets.PHOTOS)
    files = {f"{name}.png": f"{name}.png" for name in domain.given}
    assigned = folders.assigned(files, read.data.shares, read.seed)
    return {name: [file.removesuffix(".png") for file in of] for name, of in assigned.items()}


def with_fewer(domain: Domain, count: int) -> Domain:
    """With the first `count` photos to train on alone. Raises BadInput if that changes more than these."""
    whole = split(domain)
    left_out = whole["train"][count:]
    fewer = domain._replace(given={name: image for name, image in domain.given.items() if name not in left_out})
    if split(fewer) != whole | {"train": whole["train"][:count]} or count > len(whole["train"]):
        raise BadInput(f"{count} of {len(whole['train'])} photos to train on would change val, gate or test")
    return fewer


def gains(domain: Domain, project: own_images.Project, levels: list[own_images.Level], folder: Path) -> list[float]:
    """Mean PSNR over the held-out photos, less that of the best filter, at each noise level, in dB."""
    noisy = {f"{level.sigma} {name}": image for level in levels for name, image in level.noisy.items()}
    restored = own_images.Made(project, 0.0, promoted=False).restore(noisy, folder, "photos")
    clean = domain.held_out
    return [
        (
            own_images.psnr_db({name: restored[f"{level.sigma} {name}"] for name in clean}, clean)
            - own_images.psnr_db(level.filtered[level.best(clean)], clean)
        ).mean()
        for level in levels
    ]


def table(first: str, levels: list[own_images.Level], points: dict[float, list[float]]) -> str:
    rows = [[f"{at:g}", *(f"{gain:+.2f}" for gain in [*found, _mean(found)])] for at, found in points.items()]
    return measure.table(" | ".join([first, *(f"{255 * level.sigma:.0f}" for level in levels), "mean"]), rows)


def _mean(found: list[float]) -> float:
    return sum(found) / len(found)


def drawn(levels: list[own_images.Level], curves: dict[str, dict[float, list[float]]]) -> Figure:
    figure = Figure(figsize=(8.2, 2.8), layout="constrained")
    for axis, (title, points) in zip(figure.subplots(1, len(curves), sharey=True), curves.items()):
        for level, gained in zip(levels, zip(*points.values())):
            axis.plot(list(points), gained, ".-", label=f"sigma {255 * level.sigma:.0f}")
        axis.axhline(0.0, color="0.6", linewidth=0.8)
        axis.set_xscale("log", base=2)
        axis.set_xticks(list(points), [f"{at:g}" for at in points])
        axis.minorticks_off()
        axis.set_xlabel(title.replace("`", ""))
    figure.axes[0].set_ylabel("dB above the best filter")
    figure.axes[0].legend(fontsize=8)
    return figure


def main(
    images: Annotated[list[int], typer.Option(help="To train on, beside all of them.")] = [1, 2, 4],
    minutes: Annotated[list[float], typer.Option(help="As of `denoise init`, with all images.")] = [1.0, 2.0, 4.0, 8.0],
    at: Annotated[float, typer.Option(help="The minutes with fewer images.")] = 2.0,
) -> None:
    domain = photos()
    every = len(split(domain)["train"])
    counts = sorted({*images, every})
    found, levels = {}, []
    with tempfile.TemporaryDirectory() as temporary:
        for count, time in dict.fromkeys([(every, each) for each in sorted(minutes)] + [(each, at) for each in counts]):
            folder = Path(temporary, f"{count} {time}")
            project = own_images.begun(with_fewer(domain, count), folder, "photos", time, Path(temporary, "cache"))
            project.run("dvc", "repro")
            if not levels:
                levels = own_images.by_filters(domain, project)
            found[count, time] = gains(domain, project, levels, folder)
    curves = {
        f"photos trained on, `--minutes {at:g}`": {count: found[count, at] for count in counts},
        f"`--minutes`, {every} photos trained on": {time: found[every, time] for time in sorted(minutes)},
    }
    own_images.keep_picture(drawn(levels, curves), own_images.PICTURES / "curves.png")
    measure.keep(
        own_images.PAGE,
        "curves",
        f"dB above the best filter, mean over the {len(domain.held_out)} held-out photos at each sigma, of 255; the "
        f"photos of val, gate and test are the same in all.\n\n"
        + "\n\n".join(table(title, levels, points) for title, points in curves.items()),
    )


if __name__ == "__main__":
    try:
        typer.run(main)
    except BadInput as error:
        sys.exit(str(error))
