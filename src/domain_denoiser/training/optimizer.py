"""How a gradient moves the weights: RMSprop and its kin, in one pass over weights, gradient and state."""

import math

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from domain_denoiser.params import Training

MOMENTUM = {"rmsprop": 0.0, "rmsprop_corrected": 0.0, "adam": 0.9, "muon": 0.95}
EPSILON = 1e-8


class Flat:
    """From now on the parameters of `network` and their `.grad` are views of `values` and `gradient`, [n] each."""

    def __init__(self, network: nn.Module, values: Tensor | None = None) -> None:
        """values: those of another network of the same form, whose weights this one shares from now on."""
        self._shapes = {name: parameter.shape for name, parameter in network.named_parameters()}
        own = nn.utils.parameters_to_vector(network.parameters()).detach() if values is None else values
        self.values = own
        self.gradient = self.values.new_zeros(len(self.values))
        values, gradients = self.views(self.values), self.views(self.gradient)
        for name, parameter in network.named_parameters():
            parameter.data, parameter.grad = values[name], gradients[name]

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """The parts of a tensor that is laid out as `values` is, each in the shape of its parameter."""
        parts = flat.split([shape.numel() for shape in self._shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self._shapes.items(), parts)}


class Optimizer:
    """weight -= rate * mean / (sqrt(mean_square) + 1e-8), with running means of the gradient and of its square.

    `rmsprop` (Hinton 2012), as the post says: the gradient itself for its mean. `rmsprop_corrected`: the same with the
    running mean of squares corrected for its start at zero. `adam` (Kingma & Ba 2015, beta1 = 0.9): both means, both
    corrected. torch's Adam does all three in one pass, which its RMSprop cannot.
    """

    def __init__(self, weights: Flat, settings: Training) -> None:
        self._weights = weights
        self._momentum, self._beta2 = MOMENTUM[settings.optimizer], settings.beta2
        self._mean, self._mean_square = torch.zeros_like(weights.values), torch.zeros_like(weights.values)
        # The correction after t steps is 1 - beta2^t; after infinitely many steps there is none.
        self._steps = torch.tensor(math.inf if settings.optimizer == "rmsprop" else 0.0, device=weights.values.device)
        # What the next step depends on beside weights and gradient; without momentum the mean is the gradient itself.
        self.tensors = {"mean_square": self._mean_square, "steps": self._steps}
        if self._momentum > 0.0:
            self.tensors["mean"] = self._mean

    def step(self, rate: float) -> None:
        """Move the weights against their gradient, with the learning rate `rate`."""
        adam_step(
            [self._weights.values],
            [self._weights.gradient],
            [self._mean],
            [self._mean_square],
            [self._steps],
            self._momentum,
            self._beta2,
            rate,
        )


def adam_step(
    values: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    mean_squares: list[Tensor],
    steps: list[Tensor],
    beta1: float,
    beta2: float,
    rate: float,
) -> None:
    """One step of Adam (Kingma & Ba 2015), in place, in one pass over each tensor and its state."""
    adam(
        values,
        gradients,
        means,
        mean_squares,
        [],
        steps,
        fused=True,
        amsgrad=False,
        beta1=beta1,
        beta2=beta2,
        lr=rate,
        weight_decay=0.0,
        eps=EPSILON,
        maximize=False,
    )
