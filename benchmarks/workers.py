"""Epochs of `conv` by one, two and three processes of one thread each, in turn: `make bench`."""

import statistics
import tempfile
from functools import partial
from pathlib import Path

import measure
import torch

from domain_denoiser import layout, params
from domain_denoiser.base import progress
from domain_denoiser.core import compute, images, noisy_sets
from domain_denoiser.core.seeds import generator
from domain_denoiser.networks import architectures
from domain_denoiser.training import loop, workers
from domain_denoiser.training.initialisation import initialise

WORKERS = (1, 2, 3)
ROUNDS = 3  # each number of workers has its turn in each
EPOCHS = 3  # of a turn, after one that reads the images and starts the threads
IMAGES = 5_000  # of an epoch: a tenth
MODEL = "conv"


def train(place: Path, name: str, group: workers.Group) -> None:
    """Write the median seconds of an epoch to the file `place`, in one process of the group."""
    read = params.read(Path("params.yaml"))
    compute.prepare(read.compute.model_copy(update={"threads": 1}))
    settings = read.models[name].model_copy(update={"epochs": 1 + EPOCHS})
    folder = layout.NOISY / settings.regime
    arrays = images.mapped_pair(layout.clean_images("train"), folder / "train.npy")
    given = loop.Images(*(torch.from_numpy(array[:IMAGES]) for array in arrays))
    val = loop.Images(*(part[: settings.batch_size] for part in given))
    network = architectures.build(architectures.settings(settings.network, f"params.yaml: models.{name}"))
    initialise(network, settings.initialisation, generator("cpu", read.seed, "initialisation"))
    epochs = loop.fit(network, given, val, noisy_sets.load_regime(folder), settings, read.seed, None, group)
    next(epochs)
    taken = [measure.seconds(lambda: next(epochs)) for _ in range(EPOCHS)]
    if group.rank == 0:
        place.write_text(str(statistics.median(taken)))


def turn(count: int) -> float:
    """The median seconds of an epoch by so many workers."""
    on = params.read(Path("params.yaml")).compute.model_copy(update={"threads": 1, "workers": count})
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "seconds"
        workers.launch(partial(train, place), MODEL, on)
        return float(place.read_text())


def main() -> None:
    turns = [(number, count) for number in range(ROUNDS) for count in WORKERS]
    measured = [(count, turn(count)) for _, count in progress.track(turns, len(turns), "workers", "turns")]
    medians = {count: statistics.median(taken for one, taken in measured if one == count) for count in WORKERS}
    rows = [
        [f"{count}", f"{taken:.2f}", f"{IMAGES / taken:,.0f}", f"{taken / medians[1]:.2f}"]
        for count, taken in medians.items()
    ]
    header = f"workers of one thread each | s for {IMAGES:,} images | images/s | time / one worker"
    measure.keep_speeds("workers", measure.table(header, rows))


if __name__ == "__main__":
    main()
