"""What quality a training of `conv` reaches in how many minutes: `make bench`."""

from pathlib import Path

import measure
import torch

from domain_denoiser import layout, params
from domain_denoiser.base import progress
from domain_denoiser.core import compute, images, noisy_sets
from domain_denoiser.core.seeds import generator
from domain_denoiser.evaluation import per_image
from domain_denoiser.evaluation.wholes import ALONE
from domain_denoiser.networks import architectures
from domain_denoiser.training import loop
from domain_denoiser.training.initialisation import initialise

EPOCHS = (2, 3, 5, 10)  # each a training of its own, as the learning rate's schedule ends with its last epoch
HEADLINE = params.Constant(law="constant", noise="gaussian", sigma=0.5)


def trial(read: params.Params, epochs: int) -> list[str]:
    """Epochs, minutes with validation, val PSNR over all noise levels as in training, and at the headline level."""
    device = compute.prepare(read.compute)
    settings = read.models["conv"].model_copy(update={"epochs": epochs})
    folder = layout.NOISY / settings.regime

    def load(split: str) -> loop.Images:
        pair = images.mapped_pair(layout.clean_images(split), folder / f"{split}.npy")
        return loop.Images(*(torch.from_numpy(array).to(device) for array in pair))

    train, val = load("train"), load("val")
    network = architectures.build(architectures.settings(settings.network, "params.yaml: models.conv"))
    initialise(network, settings.initialisation, generator("cpu", read.seed, "initialisation"))
    told = []
    took = measure.seconds(
        lambda: told.extend(loop.fit(network, train, val, noisy_sets.load_regime(folder), settings, read.seed, None))
    )
    noisy = torch.cat(
        list(map(torch.from_numpy, noisy_sets.corrupt(val.clean.numpy(), HEADLINE, read.seed, "curve").parts))
    )
    alone = [ALONE] * len(noisy)
    headline = per_image.evaluate(network, noisy, val.clean, HEADLINE.sigma, alone)["psnr_db"].mean()
    return [f"{epochs}", f"{took / 60:.1f}", f"{told[-1].val_psnr_db:.2f}", f"{headline:.2f}"]


def main() -> None:
    read = params.read(Path("params.yaml"))
    rows = [trial(read, epochs) for epochs in progress.track(EPOCHS, len(EPOCHS), "a curve", "trainings")]
    header = "epochs of `conv` | minutes | val PSNR, dB, sigma from 0 to 1 | at noise level 0.5"
    measure.keep_speeds("dB against minutes", measure.table(header, rows))


if __name__ == "__main__":
    main()
