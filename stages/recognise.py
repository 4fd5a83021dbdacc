"""What a model's own images look like to it, and from where on an image is foreign: models/<name>/profile.json."""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from domain_denoiser import layout, params
from domain_denoiser.base import atomic, one_writer, progress
from domain_denoiser.base.errors import one_sentence
from domain_denoiser.core import compute, images, noisy_sets
from domain_denoiser.core.seeds import derive
from domain_denoiser.domain import fitting, foreign
from domain_denoiser.domain.statistics import sums
from domain_denoiser.networks import stored
from domain_denoiser.params import Given, Levels, Regime, Uniform

BATCH = 784_000  # values: 1,000 images of MNIST's size
FOREIGN = 500  # val images that foreign ones of each kind are made of


def main(name: Annotated[str, typer.Argument(help="A key of `models` in params.yaml.")]) -> None:
    read = params.read(Path("params.yaml"))
    device = compute.prepare(read.compute)
    network = stored.load(layout.MODELS / name, device)
    clean = images.load(layout.clean_images("val"))
    levels = read.noisy["test"].root
    if isinstance(levels, Given):
        between, own = levels, [(clean, levels, "own")]
        if len(clean) < fitting.LEAST:  # mirrored, but under the same noise, they are as many more
            own.append((clean[..., ::-1], levels, "own mirrored"))
    else:
        at_levels = _at_levels(clean, levels)
        between = at_levels[0][1]  # where there is one noise level
        if len(levels.sigmas) > 1:
            between = Uniform(law="uniform", noise=levels.noise, low=levels.sigmas[0], high=levels.sigmas[-1])
        own = [(clean, between, "own"), *at_levels]
    others = [
        (make(clean[:FOREIGN], np.random.default_rng(derive(read.seed, "foreign", kind))), between, kind)
        for kind, make in foreign.KINDS.items()
    ]
    found = []
    for some, regime, called in progress.track([*own, *others], len(own) + len(others), f"recognise {name}", "sets"):
        found.append(_restored(network, _noisy(some, clean, regime, read.seed, called), device))
    profile = fitting.fit(np.concatenate(found[: len(own)]), np.concatenate(found[len(own) :]))
    atomic.write_json(layout.MODELS / name / layout.PROFILE, profile.as_json())


def _at_levels(clean: np.ndarray, levels: Levels) -> list[tuple[np.ndarray, Regime, str]]:
    """Each image at one of the noise levels; of few images, at the first levels."""
    laws = [params.Constant(law="constant", noise=levels.noise, sigma=sigma) for sigma in levels.sigmas]
    return [(clean[at :: len(laws)], law, f"own {law.sigma}") for at, law in enumerate(laws[: len(clean)])]


def _noisy(some: np.ndarray, clean: np.ndarray, regime: Regime, seed: int, called: str) -> np.ndarray:
    """Some images with noise: drawn, or that of pairs, whose difference from the clean val images is added to them."""
    if isinstance(regime, Given):
        given = images.load(layout.given_noisy("val"))[: len(some)]
        added = given.astype(np.int32) - clean[: len(some)]
        return np.clip(some + added, 0, np.iinfo(clean.dtype).max).astype(clean.dtype)
    return np.concatenate(list(noisy_sets.corrupt(some, regime, seed, "recognise", called).parts))


@torch.inference_mode()
def _restored(network: torch.nn.Module, noisy: np.ndarray, device: torch.device) -> np.ndarray:
    """The sums of noisy images, as they lie on disk, over all channels of each: float64 [N, 8]."""
    added, count = [], images.per_batch(BATCH, noisy)
    for start in range(0, len(noisy), count):
        batch = images.to_float(noisy[start : start + count], device)
        restored = network(batch).clamp(0.0, 1.0)
        added.append(sums(*(images.to_unit(each, np.dtype(np.float32)) for each in (batch, restored))))
    return np.concatenate(added)


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
