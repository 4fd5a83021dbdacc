"""The figures of one model, restored test images and learning curves: reports/figures/<name>/."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from domain_denoiser import layout, params
from domain_denoiser.base import one_writer
from domain_denoiser.base.errors import BadInput, one_sentence
from domain_denoiser.params import Regime, Uniform
from domain_denoiser.runs import live

SHOWN = 10  # images at most, one of each digit or file


def main(name: Annotated[str, typer.Argument(help="A key of `models` in params.yaml.")]) -> None:
    read = params.read(Path("params.yaml"))
    from domain_denoiser.base import atomic, reading
    from domain_denoiser.core import compute, images
    from domain_denoiser.evaluation import figures, filters, tables
    from domain_denoiser.networks import stored

    device = compute.prepare(read.compute)
    examples, curves = layout.figures(name)
    with live.follow(patience_s=60.0), atomic.together() as new:
        original, noisy, sigmas = shown(read.noisy[read.models[name].regime].root)
        network = stored.load(layout.MODELS / name, device)
        restored = images.stored(network(images.to_float(noisy, device)).clamp(0.0, 1.0), noisy.dtype)
        filtered = None
        if read.filters:
            pair = (images.to_unit(images.to_float(of, "cpu"), np.dtype(np.float32)) for of in (noisy, original))
            filtered = filters.best(read.filters, *pair, sigmas, read.compute.threads)
        drawn = figures.examples(original, noisy, restored, sigmas, f"{name}: original, noisy, restored", filtered)
        figures.save(drawn, new(examples))
        path = layout.MODELS / name / layout.HISTORY
        history = tables.history(reading.content(path, reading.LARGEST_TABLE), str(path))
        figures.save(figures.learning_curves(history, f"{name}: training"), new(curves))


def shown(regime: Regime) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """The first test image of each digit or file: clean, noisy at a regime's stored noise levels, and those levels."""
    from domain_denoiser.core import images, noisy_sets
    from domain_denoiser.evaluation import figures

    clean = images.mapped(layout.clean_images("test"))
    labels = images.load_array(layout.clean_labels("test"))
    if labels.shape != clean.shape[:1]:
        raise BadInput(f"{layout.CLEAN} has test images {list(clean.shape)}, but labels {list(labels.shape)}")
    chosen = figures.first_of_each(labels)[:SHOWN]
    if len(chosen) < SHOWN:  # of few files: tiles from all over them
        chosen = [index * len(labels) // SHOWN for index in range(min(SHOWN, len(labels)))]
    folder = layout.NOISE_LEVELS
    low, high = (regime.low, regime.high) if isinstance(regime, Uniform) else (regime.sigma, regime.sigma)
    sigmas = figures.levels_shown(low, high, noisy_sets.load_levels(folder), len(chosen))
    at_level = {sigma: images.mapped(folder / noisy_sets.level_file("test", sigma)) for sigma in set(sigmas)}
    return clean[chosen], np.stack([at_level[sigma][image] for image, sigma in zip(chosen, sigmas)]), sigmas


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
