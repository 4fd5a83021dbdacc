"""Muon: momentum whose matrices are made orthogonal."""

from collections import defaultdict

import torch
from torch import Tensor

from domain_denoiser.params import Training
from domain_denoiser.training.optimizer import MOMENTUM, Flat, adam_step

ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic Newton-Schulz iteration (Jordan et al. 2024)


class Muon:
    """weight -= rate * 0.2 * sqrt(max(rows, columns)) * orthogonal(momentum) for hidden layers, Adam for all else.

    Source: Jordan et al. 2024, with Nesterov's momentum; the factor, which gives the steps the size of Adam's, so that
    one learning rate serves both, is of Liu et al. 2025. Weights of a convolution are a matrix [out, in x height x
    width]. The first and the last layer, and the biases, are Adam's.
    """

    def __init__(self, weights: Flat, settings: Training) -> None:
        self._beta2 = settings.beta2
        values, gradients = weights.views(weights.values), weights.views(weights.gradient)
        momentum, mean_square = torch.zeros_like(weights.values), torch.zeros_like(weights.values)
        means, squares = weights.views(momentum), weights.views(mean_square)
        hidden = [name for name, value in values.items() if value.ndim >= 2][1:-1]
        others = [name for name in values if name not in hidden]
        steps = torch.zeros(len(others), device=momentum.device)
        self.tensors = {"mean": momentum, "mean_square": mean_square, "steps": steps}
        self._adam = [[views[name] for name in others] for views in (values, gradients, means, squares)]
        self._steps = list(steps.unbind())
        alike = defaultdict(list)
        for name in hidden:
            matrices = [views[name].flatten(1) for views in (values, gradients, means)]
            alike[matrices[0].shape].append(matrices)
        self._hidden = [tuple(zip(*found)) for found in alike.values()]  # those of one shape are multiplied together

    def step(self, rate: float) -> None:
        """Move the weights against their gradient, with the learning rate `rate`."""
        adam_step(*self._adam, self._steps, MOMENTUM["adam"], self._beta2, rate)
        for values, gradients, means in self._hidden:
            torch._foreach_lerp_(means, gradients, 1.0 - MOMENTUM["muon"])
            ahead = torch.stack(gradients).lerp_(torch.stack(means), MOMENTUM["muon"])
            size = 0.2 * max(values[0].shape) ** 0.5
            torch._foreach_add_(values, orthogonal(ahead).unbind(), alpha=-rate * size)


def orthogonal(matrices: Tensor) -> Tensor:
    """Each matrix with singular values near 1, by the quintic Newton-Schulz iteration. float32 [N, rows, columns]."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
