"""Fitting a network: clean -> noisy -> restored -> loss, one epoch after another.

Knows nothing of MLflow, DVC or files: `fit` yields what happened, others write it down.
"""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import metrics
from domain_denoiser.core.images import per_batch, scaled
from domain_denoiser.core.noise import add_noise, draw_sigma
from domain_denoiser.core.seeds import generator
from domain_denoiser.params import Constant, Given, Model, Regime
from domain_denoiser.training.crops import Crops
from domain_denoiser.training.gradients import gradient_of
from domain_denoiser.training.muon import Muon
from domain_denoiser.training.optimizer import Flat, Optimizer
from domain_denoiser.training.workers import ALONE, Group

VALIDATED = 784_000  # values of a batch of val images: 1,000 images of MNIST's size
AHEAD = 8  # batches read and made noisy in one go: large operations cost less, but more would leave the CPU's cache


class Images(NamedTuple):
    """Clean images and the stored noisy ones, on the training's device.

    As on disk (and read from there as they are wanted, if they were mapped), or float32 [N, C, H, W] in [0, 1].
    """

    clean: Tensor
    noisy: Tensor


class State(NamedTuple):
    """What the epochs after `epoch` depend on beside arguments of `fit`. No generator: each epoch seeds its own."""

    epoch: int
    tensors: Mapping[str, Tensor]  # the weights, the state of the optimizer, the moving average of the weights


class Epoch(NamedTuple):
    """What one epoch gave."""

    epoch: int  # from 1
    train_loss: float  # mean squared error over the epoch's training images, as the weights were changing
    val_loss: float  # mean squared error on the stored noisy val images, after the epoch
    val_psnr_db: float  # mean of per-image values on the same images
    learning_rate: float  # of the epoch's last step
    network: nn.Module  # the one that val_loss was measured on; the next epoch changes its weights
    state: State  # from which `fit` goes on; the next epoch changes its tensors

    def row(self) -> dict[str, float]:
        """The epoch as a row of history.csv."""
        return {name: value for name, value in self._asdict().items() if name not in ("network", "state")}


class Diverged(BadInput):
    """The loss is not finite: the params ask for steps that are too long, or an image is not finite."""


def fit(
    network: nn.Module,
    train: Images,
    val: Images,
    regime: Regime,
    settings: Model,
    seed: int,
    after: State | None,
    group: Group = ALONE,
) -> Iterator[Epoch]:
    """Train `network` in place on the device that the images are on, from its weights or from where `after` stands.

    The first epoch reads the stored noisy images; with `noise: fresh` the later ones draw the regime anew.
    Every draw of an epoch derives from (seed, epoch) alone, so that a training that goes on gives the bytes of one that
    was never interrupted. The processes of `group` train copies of one network, and share batches and val images.
    Raises Diverged with epoch, step and learning rate when the loss is not finite.
    """
    weights = Flat(network)
    optimizer = (Muon if settings.optimizer == "muon" else Optimizer)(weights, settings)
    tensors, measured = {"weights": weights.values} | optimizer.tensors, network
    if settings.ema > 0.0:  # Polyak & Juditsky 1992, with exponential weights
        average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.ema))
        tensors |= {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
        measured = average.module
    done = 0
    if after is not None:
        done = after.epoch
        for name, tensor in tensors.items():
            tensor.copy_(after.tensors[name])
    images = len(train.clean)
    steps = math.ceil(images / settings.batch_size)
    for epoch in range(done + 1, settings.epochs + 1):
        losses = torch.zeros(steps, device=train.clean.device)
        network.train()
        with gradient_of(network, weights, settings, group) as gradient:
            for step, (noisy, clean) in enumerate(batches(train, regime, settings, seed, epoch)):
                losses[step] = gradient(noisy, clean)
                rate = learning_rate(settings, (epoch - 1) * steps + step, settings.epochs * steps)
                optimizer.step(rate)
                if settings.ema > 0.0:
                    average.update_parameters(network)
        _refuse_divergence(losses, epoch, settings, steps)
        val_loss, val_psnr_db = validate(measured, val, group)
        if not math.isfinite(val_loss):  # the last step of the epoch, which no training loss has seen
            raise Diverged(f"the loss on the val images is {val_loss} after epoch {epoch}, learning rate {rate:.3g}")
        train_loss = _mean(losses, images, settings.batch_size)
        yield Epoch(epoch, train_loss, val_loss, val_psnr_db, rate, measured, State(epoch, tensors))


def batches(train: Images, regime: Regime, settings: Model, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The noisy and the clean images of an epoch, batch by batch in its order, float32 [B, C, H, W] each.

    With `crop` or `augment` they are drawn parts of the images, turned and flipped, and those of colour with red, green
    and blue exchanged, but for pairs: their noise need not be the same in each. Where processes share a batch, each
    reads all of it: one generator draws the noise of all its images, and noise of photons needs the images. That
    costs 0.3 ms of a step of `conv`, of 100.
    """
    images, device = len(train.clean), train.clean.device
    order = torch.randperm(images, generator=generator("cpu", seed, "order", epoch)).to(device)
    draw = generator(device, seed, "noise", epoch)
    stored = epoch == 1 or settings.noise == "frozen"
    noiseless = isinstance(regime, Constant) and regime.sigma == 0.0
    sigma = draw_sigma(regime, images, draw)
    exchange = settings.augment and train.clean.ndim == 4 and not isinstance(regime, Given)
    drawn = generator("cpu", seed, "crops", epoch)
    crops = Crops.draw(train.clean.shape, settings.crop, settings.augment, exchange, drawn)
    for some in order.split(AHEAD * settings.batch_size):
        clean = scaled(crops(train.clean, some))
        if stored:
            noisy = scaled(crops(train.noisy, some))
        else:
            noisy = clean if noiseless else add_noise(regime.noise, clean, sigma[some], draw)
        yield from zip(noisy.split(settings.batch_size), clean.split(settings.batch_size))


@torch.inference_mode()
def validate(network: nn.Module, val: Images, group: Group = ALONE) -> tuple[float, float]:
    """Mean squared error and mean per-image PSNR in dB over the val images, which the processes share."""
    network.eval()
    count = per_batch(VALIDATED, val.clean)
    mine = torch.zeros(len(val.clean), device=val.clean.device)
    parts = list(zip(val.clean.split(count), val.noisy.split(count), mine.split(count)))
    for clean, noisy, found in parts[group.rank :: group.workers]:
        found.copy_(metrics.mse(network(scaled(noisy)).clamp(0.0, 1.0), scaled(clean)))
    each = [found.split(count) for found in group.gather(mine)]
    error = torch.cat([each[place % group.workers][place] for place in range(len(parts))])
    return error.mean().item(), metrics.psnr_db(error).mean().item()


def learning_rate(settings: Model, step: int, steps: int) -> float:
    """The learning rate of `step` (from 0) of `steps`; falls to almost 0 at the end unless constant.

    one_cycle: Smith & Topin 2018, up for the first fifth from a tenth of the peak, then down as a cosine.
    """
    peak, done = settings.learning_rate, step / steps
    match settings.schedule:
        case "constant":
            return peak
        case "linear":
            return peak * (1.0 - done)
        case "cosine":
            return peak * 0.5 * (1.0 + math.cos(math.pi * done))
        case "one_cycle":
            if done < 0.2:
                return peak * (0.1 + 0.9 * done / 0.2)
            return peak * 0.5 * (1.0 + math.cos(math.pi * (done - 0.2) / 0.8))
        case unknown:
            raise ValueError(f"unknown schedule {unknown!r}")


def _mean(losses: Tensor, images: int, batch_size: int) -> float:
    """The mean over images of an epoch whose last batch may be smaller."""
    sizes = torch.full_like(losses, batch_size)
    sizes[-1] = images - batch_size * (len(losses) - 1)
    return (losses * (sizes / images)).sum().item()


def _refuse_divergence(losses: Tensor, epoch: int, settings: Model, steps: int) -> None:
    """Looked at once an epoch, so that no step waits for the device."""
    bad = (~losses.isfinite()).nonzero()
    if len(bad):
        step = int(bad[0])
        rate = learning_rate(settings, (epoch - 1) * steps + step, settings.epochs * steps)
        raise Diverged(f"the loss is {losses[step].item()} at epoch {epoch}, step {step + 1}, learning rate {rate:.3g}")
