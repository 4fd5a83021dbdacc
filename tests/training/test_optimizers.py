import numpy as np
import pytest
import torch
from torch import nn

from domain_denoiser.training.optimizer import Flat, Optimizer

RATE, DECAY = 0.01, 0.9


@pytest.fixture
def gradients():
    return torch.randn(30, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def steps_of(make_settings, gradients):
    """The five weights, which begin at zero, after each of 30 steps."""

    def run(name):
        network = nn.Linear(5, 1, bias=False)
        nn.init.zeros_(network.weight)
        weights = Flat(network)
        optimizer = Optimizer(weights, make_settings(optimizer=name, learning_rate=RATE, beta2=DECAY))
        found = []
        for gradient in gradients:
            network.weight.grad.copy_(gradient)
            optimizer.step(RATE)
            found.append(network.weight.detach().clone()[0])
        return torch.stack(found)

    return run


@pytest.mark.parametrize("name", ["rmsprop", "rmsprop_corrected", "adam"])
def test_optimizer_is_what_is_written_down(steps_of, gradients, name):
    momentum = {"rmsprop": 0.0, "rmsprop_corrected": 0.0, "adam": 0.9}[name]
    weight, mean, mean_square, expected = np.zeros(5), np.zeros(5), np.zeros(5), []
    for step, gradient in enumerate(gradients.double().numpy(), start=1):
        mean = momentum * mean + (1 - momentum) * gradient
        mean_square = DECAY * mean_square + (1 - DECAY) * gradient**2
        there = 1.0 if name == "rmsprop" else 1 - DECAY**step
        weight = weight - RATE * mean / (1 - momentum**step) / (np.sqrt(mean_square / there) + 1e-8)
        expected.append(weight)
    np.testing.assert_allclose(steps_of(name), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["rmsprop", "adam"])
def test_optimizer_agrees_with_torchs_own(steps_of, gradients, name):
    weight = nn.Parameter(torch.zeros(5))
    made = {
        "rmsprop": lambda: torch.optim.RMSprop([weight], lr=RATE, alpha=DECAY),
        "adam": lambda: torch.optim.Adam([weight], lr=RATE, betas=(0.9, DECAY)),
    }
    optimizer, expected = made[name](), []
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
        expected.append(weight.detach().clone())
    torch.testing.assert_close(steps_of(name), torch.stack(expected), rtol=1e-4, atol=1e-6)
