"""One noisy dataset: data/noisy/<name>/."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from domain_denoiser import layout, params
from domain_denoiser.base import atomic, one_writer, progress
from domain_denoiser.base.errors import BadInput, one_sentence
from domain_denoiser.core import images
from domain_denoiser.params import Constant, Given, Levels, Regime


def main(name: Annotated[str, typer.Argument(help="A key of `noisy` in params.yaml.")]) -> None:
    read = params.read(Path("params.yaml"))
    if name not in read.noisy:
        raise BadInput(f"params.yaml: noisy has {', '.join(read.noisy)}, but not {name!r}")
    law = read.noisy[name].root
    from domain_denoiser.core import noisy_sets

    with atomic.folder(layout.NOISY / name) as folder:
        if isinstance(law, Given) and name == layout.NOISE_LEVELS.name:
            given_level(law, folder)
        elif isinstance(law, Given):
            given_regime(folder)
        elif isinstance(law, Levels):
            corrupt_levels(law, read.seed, folder)
        else:
            corrupt_regime(name, law, read.seed, folder)
        atomic.write_json(folder / noisy_sets.LAW, law.model_dump())


def corrupt_regime(name: str, regime: Regime, seed: int, folder: Path) -> None:
    """Write the noisy training, val and gate images of a regime, and the sigma of each image."""
    from domain_denoiser.core import noisy_sets

    for split in progress.track(("train", "val", "gate"), 3, f"corrupt {name}", "sets"):
        clean = images.mapped(layout.clean_images(split))
        made = noisy_sets.corrupt(clean, regime, seed, name, split)
        images.save_parts(folder / f"{split}.npy", len(clean), made.parts)
        images.save(folder / f"{split}_sigma.npy", made.sigma)


def corrupt_levels(levels: Levels, seed: int, folder: Path) -> None:
    """Write the noisy test and gate images at each noise level: the same bytes for every model."""
    from domain_denoiser.core import noisy_sets

    clean = {split: images.mapped(layout.clean_images(split)) for split in ("test", "gate")}
    jobs = [(split, sigma) for split in clean for sigma in levels.sigmas]
    for split, sigma in progress.track(jobs, len(jobs), "corrupt at every noise level", "sets"):
        made = noisy_sets.corrupt(
            clean[split], Constant(law="constant", noise=levels.noise, sigma=sigma), seed, "levels", split, str(sigma)
        )
        images.save_parts(folder / noisy_sets.level_file(split, sigma), len(clean[split]), made.parts)


def given_regime(folder: Path) -> None:
    """Write the noisy training, val and gate images of pairs, and of each image how far it is from the clean one."""
    from domain_denoiser.core import metrics

    for split in ("train", "val", "gate"):
        clean, noisy = images.mapped_pair(layout.clean_images(split), layout.given_noisy(split))
        images.save_parts(folder / f"{split}.npy", len(noisy), in_parts(noisy))
        apart = [
            metrics.mse(*(images.to_float(part, "cpu") for part in both)).sqrt().numpy()
            for both in zip(in_parts(noisy), in_parts(clean))
        ]
        images.save(folder / f"{split}_sigma.npy", np.concatenate(apart))


def given_level(level: Given, folder: Path) -> None:
    """Write the noisy test and gate images of pairs."""
    from domain_denoiser.core import noisy_sets

    for split in ("test", "gate"):
        _, noisy = images.mapped_pair(layout.clean_images(split), layout.given_noisy(split))
        images.save_parts(folder / noisy_sets.level_file(split, level.sigma), len(noisy), in_parts(noisy))


def in_parts(stored: np.ndarray) -> Iterator[np.ndarray]:
    """Some images at a time, as many as are made noisy at once."""
    from domain_denoiser.core import noisy_sets

    count = images.per_batch(noisy_sets.BATCH, stored)
    for start in range(0, len(stored), count):
        yield stored[start : start + count]


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
