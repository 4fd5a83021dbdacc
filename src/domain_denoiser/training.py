"""Fitting a network: clean -> noisy -> restored -> loss, one epoch after another.

Knows nothing of MLflow, DVC or files: `fit` yields what happened, others write it down.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from domain_denoiser import metrics
from domain_denoiser.noise import add_noise, draw_sigma
from domain_denoiser.params import Regime, Training
from domain_denoiser.seeds import generator


class Images(NamedTuple):
    """Clean images and the stored noisy ones: float32 [N, 1, 28, 28] in [0, 1], on the training's device."""

    clean: Tensor
    noisy: Tensor


class Epoch(NamedTuple):
    """What one epoch gave."""

    epoch: int  # from 1
    train_loss: float  # mean squared error over the epoch's training images, as the weights were changing
    val_loss: float  # mean squared error on the stored noisy val images, after the epoch
    val_psnr_db: float  # mean of per-image values on the same images
    learning_rate: float  # of the epoch's last step
    network: nn.Module  # the one that val_loss was measured on; the next epoch changes its weights

    def row(self) -> dict[str, float]:
        """The epoch as a row of history.csv."""
        return {name: value for name, value in self._asdict().items() if name != "network"}


class Diverged(Exception):
    """The loss is not finite."""


def fit(
    network: nn.Module, train: Images, val: Images, regime: Regime, settings: Training, seed: int
) -> Iterator[Epoch]:
    """Train `network` in place on the device that the images are on.

    The first epoch reads the stored noisy images; with `noise: fresh` the later ones draw the regime anew.
    Every draw of an epoch derives from (seed, epoch) alone.
    Raises Diverged with epoch, step and learning rate when the loss is not finite.
    """
    optimizer = build_optimizer(network, settings)
    averaged = average(network, settings)
    images = len(train.clean)
    steps = math.ceil(images / settings.batch_size)
    for epoch in range(1, settings.epochs + 1):
        order = torch.randperm(images, generator=generator("cpu", seed, "order", epoch)).to(train.clean.device)
        draw = generator(train.clean.device, seed, "noise", epoch)
        stored = epoch == 1 or settings.noise == "frozen"
        sigma = None if stored else draw_sigma(regime, images, draw)
        losses = torch.zeros(steps, device=train.clean.device)
        network.train()
        for step, batch in enumerate(order.split(settings.batch_size)):
            clean = train.clean[batch]  # [B, 1, 28, 28]
            noisy = train.noisy[batch] if sigma is None else add_noise(clean, sigma[batch], draw)
            rate = learning_rate(settings, (epoch - 1) * steps + step, settings.epochs * steps)
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            loss = F.mse_loss(network(noisy), clean)
            loss.backward()
            optimizer.step()
            losses[step] = loss.detach() * (len(batch) / images)
            if averaged is not None:
                averaged.update_parameters(network)
        _refuse_divergence(losses, epoch, settings, steps)
        best_guess = network if averaged is None else averaged.module
        val_loss, val_psnr_db = validate(best_guess, val)
        yield Epoch(epoch, losses.sum().item(), val_loss, val_psnr_db, rate, best_guess)


@torch.inference_mode()
def validate(network: nn.Module, val: Images) -> tuple[float, float]:
    """Mean squared error and mean per-image PSNR in dB over the val images."""
    network.eval()
    error = torch.cat(
        [
            metrics.mse(network(noisy).clamp(0.0, 1.0), clean)
            for clean, noisy in zip(val.clean.split(1000), val.noisy.split(1000))
        ]
    )
    return error.mean().item(), metrics.psnr_db(error).mean().item()


def build_optimizer(network: nn.Module, settings: Training) -> torch.optim.Optimizer:
    """RMSprop (Hinton 2012), as the post says; `rmsprop_corrected` is Adam without its first moment (Kingma & Ba 2015,
    beta1 = 0): RMSprop whose running mean is corrected for its start at zero, with epsilon outside the root as well.
    """
    if settings.optimizer == "rmsprop":
        return torch.optim.RMSprop(
            network.parameters(), lr=settings.learning_rate, alpha=settings.smoothing, foreach=False
        )
    return torch.optim.Adam(
        network.parameters(), lr=settings.learning_rate, betas=(0.0, settings.smoothing), fused=True
    )


def average(network: nn.Module, settings: Training) -> AveragedModel | None:
    """The running mean of the weights (Polyak & Juditsky 1992, with exponential weights), if it is asked for."""
    if settings.averaging == 0.0:
        return None
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.averaging))


def learning_rate(settings: Training, step: int, steps: int) -> float:
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


def _refuse_divergence(losses: Tensor, epoch: int, settings: Training, steps: int) -> None:
    """Looked at once an epoch, so that no step waits for the device."""
    bad = (~losses.isfinite()).nonzero()
    if len(bad):
        step = int(bad[0])
        rate = learning_rate(settings, (epoch - 1) * steps + step, settings.epochs * steps)
        raise Diverged(f"the loss is {losses[step].item()} at epoch {epoch}, step {step + 1}, learning rate {rate:.3g}")
