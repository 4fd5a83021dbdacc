"""How fast a model trains on this machine, and how many epochs that allows."""

import time
from typing import NamedTuple

import numpy as np

from domain_denoiser.core.seeds import derive
from domain_denoiser.params import Params

MEASURED_S = 3.0  # seconds
WARMING = 3  # steps before: the first ones take longer
FEWEST_EPOCHS = 3  # if fewer fit, there are fewer tiles


class Schedule(NamedTuple):
    """How much is trained on."""

    epochs: int
    tiles: int  # of an epoch


def schedule(tiles: int, per_second: float, minutes: float, most_epochs: int) -> Schedule:
    """As many epochs as fit into the minutes; if not one fits, fewer tiles, so that three do."""
    total = minutes * 60 * per_second
    if total < tiles:
        return Schedule(FEWEST_EPOCHS, max(1, int(total / FEWEST_EPOCHS)))
    return Schedule(min(most_epochs, max(1, round(total / tiles))), tiles)


def tiles_per_second(params: Params, model: str) -> float:
    """Train a model on random tiles, of which it sees what it will see in training, for some seconds.

    Its weights are let go.
    """
    import torch

    from domain_denoiser.core import compute, images
    from domain_denoiser.core.seeds import generator
    from domain_denoiser.networks import architectures
    from domain_denoiser.training import loop
    from domain_denoiser.training.gradients import gradient_of
    from domain_denoiser.training.initialisation import initialise
    from domain_denoiser.training.muon import Muon
    from domain_denoiser.training.optimizer import Flat, Optimizer

    device, settings = compute.prepare(params.compute), params.models[model]
    described = architectures.settings(settings.network, model)
    network, channels = architectures.build(described), architectures.channels(described)
    initialise(network, settings.initialisation, generator("cpu", params.seed, "initialisation"))
    network.to(device)
    weights = Flat(network)
    optimizer = (Muon if settings.optimizer == "muon" else Optimizer)(weights, settings)
    drawn = np.random.default_rng(derive(params.seed, "speed"))
    shape = (loop.AHEAD * settings.batch_size, *[channels] * (channels > 1), *params.data.tile)
    clean = images.to_float(drawn.integers(0, 256, shape, dtype=np.uint8), device)
    pair, regime = loop.Images(clean, clean), params.noisy[settings.regime].root
    done, steps, epoch, started = 0, 0, 1, time.perf_counter()
    with gradient_of(network, weights, settings) as gradient:
        while time.perf_counter() - started < MEASURED_S or done == 0:
            epoch += 1  # from the second on, noise is drawn
            for noisy, wanted in loop.batches(pair, regime, settings, params.seed, epoch):
                gradient(noisy, wanted).item()
                optimizer.step(settings.learning_rate)
                steps += 1
                if steps <= WARMING:
                    started = time.perf_counter()
                    continue
                done += len(noisy)
                if time.perf_counter() - started >= MEASURED_S:
                    break
    if device.type == "cuda":
        torch.cuda.synchronize()
    return done / (time.perf_counter() - started)
