"""Loss and gradient of a batch, by autograd or written out, in the precision of the settings."""

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor, nn

from domain_denoiser.params import Model
from domain_denoiser.training.optimizer import Flat
from domain_denoiser.training.workers import ALONE, Group

# Noisy and clean images of a batch, float32 [B, C, H, W] -> their mean squared error, float32 []. The gradient of the
# loss is then in the `gradient` of the weights.
Gradient = Callable[[Tensor, Tensor], Tensor]

# From the mean squared error of each image, [B], to the loss. Root and logarithm give more weight to an image that is
# nearly right, as the mean of per-image PSNR does: the logarithm is that mean, but for its constant. With a constant of
# 1e-4, noise levels of 0.75 and 1 lose 0.1 dB to lower ones (docs/decisions/conv-settings.md).
LOSSES = {
    "mse": lambda each: each.mean(),
    "rmse": lambda each: (each + 1e-6).sqrt().mean(),
    "log_mse": lambda each: (each + 2e-3).log().mean(),
}


@contextlib.contextmanager
def gradient_of(network: nn.Module, weights: Flat, settings: Model, group: Group = ALONE) -> Iterator[Gradient]:
    """The gradient of the settings: written out for the post's network and the mean squared error, else by autograd.

    group: the processes that share each batch; all of them must ask for the gradient of the same batches.
    """
    if settings.precision == "bfloat16":
        low = copy.deepcopy(network).to(torch.bfloat16)
        low_weights = Flat(low)
        with _gradient_of(low, low_weights, settings, group) as gradient:
            yield InBfloat16(gradient, weights, low_weights)
    else:
        with _gradient_of(network, weights, settings, group) as gradient:
            yield gradient


@contextlib.contextmanager
def _gradient_of(network: nn.Module, weights: Flat, settings: Model, group: Group) -> Iterator[Gradient]:
    if settings.loss == "mse" and settings.architecture == "mlp":
        from domain_denoiser.training.mlp_gradient import MlpGradient

        written_out = MlpGradient(network, weights)
        yield written_out if group.workers == 1 else Shared(written_out.part, weights, group, settings.batch_size)
    elif group.workers > 1:
        yield Shared(partial(_part, network, weights, LOSSES[settings.loss]), weights, group, settings.batch_size)
    else:
        with helper() as beside:
            yield Autograd(network, weights, settings.loss, beside)


@contextlib.contextmanager
def helper() -> Iterator[Executor]:
    """What runs a function beside the caller; with one thread, at once.

    Inside, an operation has half of torch's threads, at least one. Two threads that share every operation of a small
    network wait for each other at the end of each.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // 2))
    try:
        with Inline() if threads == 1 else ThreadPoolExecutor(1) as executor:
            yield executor
    finally:
        torch.set_num_threads(threads)


class Inline(Executor):
    """Runs each function when it is submitted, in the caller's thread."""

    def submit(self, function: Callable[..., Tensor], /, *arguments: object) -> Future[Tensor]:
        future = Future()
        future.set_result(function(*arguments))
        return future


class Autograd:
    """The gradient of the loss of any network, computed in the type of its weights; the loss itself is float32.

    On a CPU the second half of a batch is the helper's. The halves are summed in a fixed order, so that one thread and
    two give equal bytes.
    """

    def __init__(self, network: nn.Module, weights: Flat, loss: str, helper: Executor) -> None:
        self._network, self._weights = network, weights
        self._loss, self._helper = LOSSES[loss], helper
        self._copy = copy.deepcopy(network)
        self._copy_weights = Flat(self._copy, weights.values)

    def __call__(self, noisy: Tensor, clean: Tensor) -> Tensor:
        """The mean squared error, float32 []; the gradient of the loss is in the weights' `gradient`."""
        images = len(noisy)
        half = images // 2 if noisy.device.type == "cpu" else 0
        if half == 0:
            return _part(self._network, self._weights, self._loss, noisy, clean, images).mean()
        second = self._helper.submit(
            _part, self._copy, self._copy_weights, self._loss, noisy[half:], clean[half:], images
        )
        first = _part(self._network, self._weights, self._loss, noisy[:half], clean[:half], images)
        errors = torch.cat([first, second.result()])
        self._weights.gradient.add_(self._copy_weights.gradient)
        return errors.mean()


def _part(
    network: nn.Module, weights: Flat, loss: Callable[[Tensor], Tensor], noisy: Tensor, clean: Tensor, images: int
) -> Tensor:
    """The mean squared error of each image of a part of a batch of `images` images, [B]; the part's share of the
    batch's gradient is in `weights`.
    """
    weights.gradient.zero_()
    restored = network(noisy.to(weights.values.dtype)).float()
    each = (restored - clean).square().flatten(1).mean(1)
    (loss(each) * (len(noisy) / images)).backward()
    return each.detach()


class Shared:
    """The gradient of a batch of which each process computes a part.

    The parts are summed by each process in the order of the workers: by two as `Autograd` sums halves, to equal bytes.
    """

    def __init__(
        self, part: Callable[[Tensor, Tensor, int], Tensor], weights: Flat, group: Group, batch_size: int
    ) -> None:
        """part: from a part of a batch, and the images of the whole, to the errors of the part, [B] or [] for all; the
        part's share of the gradient is then in the `gradient` of the weights.
        """
        self._part, self._weights, self._group = part, weights, group
        largest = math.ceil(batch_size / group.workers)
        # Gradient and errors are sent together. bfloat16 fits into float32, so that rounding is that of one process.
        self._sent = torch.zeros(len(weights.values) + largest, device=weights.values.device)

    def __call__(self, noisy: Tensor, clean: Tensor) -> Tensor:
        """The mean squared error, float32 []; the gradient of the loss is in the weights' `gradient`."""
        images, total = len(noisy), self._weights.gradient
        edges = [images * worker // self._group.workers for worker in range(self._group.workers + 1)]
        begin, end = edges[self._group.rank : self._group.rank + 2]
        gradient, errors = self._sent[: len(total)], self._sent[len(total) :]
        if begin == end:
            gradient.fill_(-0.0)  # changes nothing that it is added to, not even the sign of a zero
        else:
            errors[: end - begin] = self._part(noisy[begin:end], clean[begin:end], images)
            gradient.copy_(total)
        # Not summed by the library: its threads do not flush denormals to zero, as this one does.
        first, *others = found = self._group.gather(self._sent).unbind()
        total.copy_(first[: len(total)])
        for other in others:
            total.add_(other[: len(total)])
        sizes = [after - before for before, after in zip(edges, edges[1:])]
        return torch.cat([one[len(total) : len(total) + size] for one, size in zip(found, sizes)]).mean()


class InBfloat16:
    """Forward and backward pass of a copy of the network in bfloat16; what is trained stays float32.

    The optimizer's steps are smaller than what rounding to eight bits takes away (Micikevicius et al. 2018).
    """

    def __init__(self, gradient: Gradient, weights: Flat, low: Flat) -> None:
        self._gradient, self._weights, self._low = gradient, weights, low

    def __call__(self, noisy: Tensor, clean: Tensor) -> Tensor:
        """The mean squared error, float32 []; the gradient of the loss is in the weights' `gradient`, float32."""
        self._low.values.copy_(self._weights.values)
        loss = self._gradient(noisy, clean)
        self._weights.gradient.copy_(self._low.gradient)
        return loss
