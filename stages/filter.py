"""One classical filter on the stored noisy images, told nothing of their noise.

reports/filters/<name>.json has its strength, reports/evaluation/<name>.csv what it does on the test images, and
reports/filters/<name>.csv on the gate images.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain_denoiser import layout, params
from domain_denoiser.base import one_writer, progress
from domain_denoiser.base.errors import BadInput, one_sentence
from domain_denoiser.params import Given, Levels

if TYPE_CHECKING:
    import numpy as np

    from domain_denoiser.evaluation.wholes import Grid

IMAGES, TILES = 20, 200  # of val, at most, that a strength is chosen by


def main(name: Annotated[str, typer.Argument(help="A key of `filters` in params.yaml.")]) -> None:
    read = params.read(Path("params.yaml"))
    if name not in read.filters:
        raise BadInput(f"params.yaml: filters has {', '.join(read.filters) or 'none'}, but not {name!r}")
    import torch

    from domain_denoiser.base import atomic
    from domain_denoiser.core import compute, images, noisy_sets
    from domain_denoiser.evaluation import filters, tables, wholes
    from domain_denoiser.evaluation.per_image import evaluate

    device, threads = compute.prepare(read.compute), read.compute.threads
    strength = filters.calibrated(
        name, read.filters[name], *calibration(read.noisy["test"].root, read.seed), threads=threads
    )
    restore = filters.restoring(name, strength, threads)
    levels, rows = noisy_sets.load_levels(layout.NOISE_LEVELS), {"test": [], "gate": []}
    grids = {split: wholes.load(split, len(images.mapped(layout.clean_images(split)))) for split in rows}
    jobs = [(split, sigma) for split in rows for sigma in levels]
    for split, sigma in progress.track(jobs, len(jobs), f"filter {name}", "noise levels"):
        stored = layout.NOISE_LEVELS / noisy_sets.level_file(split, sigma)
        pair = images.mapped_pair(layout.clean_images(split), stored)
        clean, noisy = (torch.from_numpy(array).to(device) for array in pair)
        rows[split].append(evaluate(restore, noisy, clean, sigma, grids[split]))
    with atomic.together() as new:
        new(layout.strength(name)).write_text(atomic.as_json({"strength": strength}))
        tables.write(new(layout.table(name)), rows["test"])
        tables.write(new(layout.filtered(name)), rows["gate"])


def calibration(law: Levels | Given, seed: int) -> "tuple[list[np.ndarray], list[np.ndarray]]":
    """A few val images at each noise level, with noise of their own, and the same without: float32 in [0, 1].

    Level 0 is left out where there are others: where there is no noise, the best strength is none. Of pairs, the noisy
    images are the given ones.
    """
    import numpy as np

    from domain_denoiser.core import images, noisy_sets
    from domain_denoiser.evaluation import wholes
    from domain_denoiser.params import Constant

    val = images.mapped(layout.clean_images("val"))
    chosen = few(wholes.load("val", len(val)))

    def whole(tiles: Iterable[np.ndarray]) -> list[np.ndarray]:
        """The chosen images, of their tiles one after another."""
        return [
            images.to_unit(wholes.joined(images.to_float(one, "cpu"), grid), np.dtype(np.float32))[0]
            for one, (_, grid) in zip(tiles, chosen, strict=True)
        ]

    clean = [val[part] for part, _ in chosen]
    if isinstance(law, Given):
        _, noisy = images.mapped_pair(layout.clean_images("val"), layout.given_noisy("val"))
        return whole(noisy[part] for part, _ in chosen), whole(clean)
    sigmas = [sigma for sigma in law.sigmas if sigma > 0.0] or law.sigmas
    together, ends = np.concatenate(clean), np.cumsum([len(one) for one in clean])[:-1]
    noisy = []
    for sigma in sigmas:
        level = Constant(law="constant", noise=law.noise, sigma=sigma)
        made = noisy_sets.corrupt(together, level, seed, "filters", "val", str(sigma))
        noisy += whole(np.split(np.concatenate(list(made.parts)), ends))
    return noisy, whole(clean) * len(sigmas)


def few(grids: "list[Grid]") -> "list[tuple[slice, Grid]]":
    """The tiles of whole images from all over val: of IMAGES, or of fewer with TILES together; of one at least."""
    from domain_denoiser.evaluation import wholes

    every = list(wholes.batches(grids, 1))
    for count in range(min(IMAGES, len(every)), 0, -1):
        chosen = [every[place * len(every) // count] for place in range(count)]
        if sum(part.stop - part.start for part, _ in chosen) <= TILES:
            break
    return chosen


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
