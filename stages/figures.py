"""The figures of one model, restored test images and learning curves: reports/figures/<name>/."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from domain_denoiser import layout, params
from domain_denoiser.base import one_writer
from domain_denoiser.base.errors import one_sentence
from domain_denoiser.runs import live


def main(name: Annotated[str, typer.Argument(help="A key of `models` in params.yaml.")]) -> None:
    read = params.read(Path("params.yaml"))
    from domain_denoiser.base import atomic, reading
    from domain_denoiser.core import compute, images
    from domain_denoiser.evaluation import examples, figures, filters, tables
    from domain_denoiser.evaluation.figures import Filtered
    from domain_denoiser.evaluation.pieces import in_pieces
    from domain_denoiser.networks import architectures, stored

    device, threads = compute.prepare(read.compute), read.compute.threads
    new_examples, new_curves = layout.figures(name)
    with live.follow(patience_s=60.0), atomic.together() as new:
        settings = stored.load_settings(layout.MODELS / name)
        network = in_pieces(stored.load(layout.MODELS / name, device), architectures.reach(settings))
        shown = examples.columns(read.noisy[read.models[name].regime].root, architectures.image_size(settings))
        original, noisy, sigmas = examples.original(shown), examples.noisy(shown), [column.sigma for column in shown]
        restored = images.stored(examples.restored(shown, [network] * len(shown), device), noisy.dtype)
        filtered = None
        if read.filters:
            pair = (images.to_unit(images.to_float(of, "cpu"), np.dtype(np.float32)) for of in (noisy, original))
            best = filters.best(read.filters, *pair, sigmas, threads)
            by_filter = [filters.restoring(*chosen, threads) for chosen in best]
            made = images.to_unit(examples.restored(shown, by_filter, device), np.dtype(np.float32))
            filtered = Filtered(made, [chosen.name for chosen in best])
        title = f"{name}: original, noisy, restored"
        drawn = figures.examples(original, noisy, restored, sigmas, title, filtered, examples.around(shown))
        figures.save(drawn, new(new_examples))
        path = layout.MODELS / name / layout.HISTORY
        history = tables.history(reading.content(path, reading.LARGEST_TABLE), str(path))
        figures.save(figures.learning_curves(history, f"{name}: training"), new(new_curves))


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
