"""How long a training takes to be good: seconds until val PSNR at sigma 0.5 first reaches a goal: `make bench`."""

import time
from pathlib import Path

import measure
import torch

from domain_denoiser import params
from domain_denoiser.base import progress
from domain_denoiser.core import compute, images, noisy_sets
from domain_denoiser.core.seeds import generator
from domain_denoiser.networks import architectures
from domain_denoiser.training import loop
from domain_denoiser.training.initialisation import initialise

# Model, epochs, goal in dB: a little below what the post's network can reach, and the best published number that was
# found for a network of conv's kind (47,000 weights, 50 epochs, one noise level).
# A schedule that ends early gets there early; the whole one gets further.
TRIALS = (("fixed", 8, 19.0), ("fixed", 30, 19.0), ("conv", 3, 20.42), ("conv", 9, 20.42))


def val(sigma: float) -> loop.Images:
    """The val images with noise of one sigma, drawn for this measurement."""
    clean = images.load(Path("data/clean/val_images.npy"))
    made = noisy_sets.corrupt(
        clean, params.Constant(law="constant", noise="gaussian", sigma=sigma), 2018, "time to quality"
    )
    return loop.Images(torch.from_numpy(clean), torch.cat([torch.from_numpy(part) for part in made.parts]))


def trial(read: params.Params, name: str, epochs: int, goal: float) -> list[str]:
    device = compute.prepare(read.compute)
    settings = read.models[name].model_copy(update={"epochs": epochs})
    folder = Path("data/noisy") / settings.regime
    paths = Path("data/clean/train_images.npy"), folder / "train.npy"
    train = loop.Images(*(torch.from_numpy(images.mapped(path)).to(device) for path in paths))
    started, network = time.perf_counter(), architectures.build(settings)
    initialise(network, settings.initialisation, generator("cpu", read.seed, "initialisation"))
    reached = None
    for epoch in loop.fit(network, train, val(0.5), noisy_sets.load_regime(folder), settings, read.seed, None):
        if reached is None and epoch.val_psnr_db >= goal:
            reached = f"{time.perf_counter() - started:.0f}"
    whole = f"{time.perf_counter() - started:.0f}"
    return [f"`{name}`, {epochs} epochs", f"{goal}", reached or "not reached", whole, f"{epoch.val_psnr_db:.2f}"]


def main() -> None:
    read = params.read(Path("params.yaml"))
    rows = [trial(read, *words) for words in progress.track(TRIALS, len(TRIALS), "time to quality", "trainings")]
    header = "training | goal, dB | s until it is reached | s in all | dB at the end"
    measure.keep(measure.PERFORMANCE, "time to quality", measure.table(header, rows))


if __name__ == "__main__":
    main()
