"""One denoiser: models/<name>/."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from domain_denoiser import layout, params
from domain_denoiser.base import one_writer
from domain_denoiser.base.errors import BadInput, one_sentence
from domain_denoiser.runs import live
from domain_denoiser.training import workers


def main(name: Annotated[str, typer.Argument(help="A key of `models` in params.yaml.")]) -> None:
    read = params.read(Path("params.yaml"))
    if name not in read.models:
        raise BadInput(f"params.yaml: models has {', '.join(read.models)}, but not {name!r}")
    if read.compute.workers > 1:
        workers.launch(train, name, read.compute)
    else:
        train(name, workers.ALONE)


def train(name: str, group: workers.Group) -> None:
    """Train in this process, which is one of the group. The first alone tracks and writes."""
    read = params.read(Path("params.yaml"))
    settings = read.models[name]
    # Tracking starts on the second core while torch is imported here on the first.
    with live.follow(patience_s=8.0) if group.rank == 0 else nullcontext(lambda row: None) as tell:
        import torch

        from domain_denoiser.core import compute, images, noisy_sets
        from domain_denoiser.core.seeds import generator
        from domain_denoiser.networks import architectures
        from domain_denoiser.training import fitting, loop
        from domain_denoiser.training.initialisation import initialise

        device = compute.prepare(read.compute)
        compute.require(settings.precision, device, f"params.yaml: models.{name}.precision")
        folder = layout.NOISY / settings.regime

        def load(split: str) -> loop.Images:
            pair = images.mapped_pair(layout.clean_images(split), folder / f"{split}.npy")
            return loop.Images(*(torch.from_numpy(array).to(device) for array in pair))

        described = architectures.settings(settings.network, f"params.yaml: models.{name}")
        train, val = load("train"), load("val")
        if (found := images.channels(train.clean)) != (wanted := architectures.channels(described)):
            raise BadInput(
                f"{layout.CLEAN} has images of {found} channels, but the network of models.{name} in params.yaml takes "
                f"{wanted}"
            )
        size = architectures.image_size(described)
        seen = tuple(train.clean.shape[-2:]) if settings.crop is None else (settings.crop, settings.crop)
        if size is not None and {seen, tuple(train.clean.shape[-2:])} != {size}:
            raise BadInput(
                f"the network of models.{name} in params.yaml takes {size[0]} x {size[1]} pixels, but the images of "
                f"{layout.CLEAN} have {train.clean.shape[-2]} x {train.clean.shape[-1]}, and an epoch sees "
                f"{seen[0]} x {seen[1]}"
            )
        network = architectures.build(described)
        initialise(network, settings.initialisation, generator("cpu", read.seed, "initialisation"))
        regime = noisy_sets.load_regime(folder)
        task = fitting.Task(network.to(device), train, val, regime, settings, read.seed)
        fitting.fit(layout.MODELS / name, task, described, read.compute, tell, group)


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
