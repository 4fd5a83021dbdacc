import numpy as np
import pytest
import torch
from torch import nn

from domain_denoiser.training.muon import Muon, orthogonal
from domain_denoiser.training.optimizer import Flat, Optimizer

RATE, DECAY = 0.01, 0.9


@pytest.fixture
def draw() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def network() -> nn.Module:
    """Three convolutions, so that one is hidden."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 4, 3), nn.Conv2d(4, 6, 3), nn.Conv2d(6, 1, 3))
    return nn.Sequential(*layers)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 4, 90), (2, 70, 5)])
def test_singular_values_come_near_one_and_the_singular_vectors_stay(draw, shape):
    matrices = torch.randn(shape, generator=draw)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    found = u.mT @ orthogonal(matrices) @ v.mT
    diagonal = torch.diagonal(found, dim1=1, dim2=2)
    assert diagonal.min() > 0.5  # where Jordan's coefficients leave them
    assert diagonal.max() < 1.3
    assert (found - torch.diag_embed(diagonal)).abs().max() < 1e-4


def test_the_size_of_a_matrix_does_not_matter(draw):
    matrices = torch.randn(2, 5, 9, generator=draw)
    torch.testing.assert_close(orthogonal(1e-3 * matrices), orthogonal(1e3 * matrices), rtol=1e-3, atol=1e-3)


def test_zero_gives_zero():
    assert not orthogonal(torch.zeros(1, 3, 4)).any()


@pytest.fixture
def trained(make_settings, draw):
    """The weights of the network after ten steps, and the gradients of these steps."""

    def run(made) -> tuple[dict[str, torch.Tensor], list[dict[str, torch.Tensor]]]:
        built = network()
        weights, seen = Flat(built), []
        optimizer = made(weights, make_settings(optimizer="muon" if made is Muon else "adam", beta2=DECAY))
        generator = torch.Generator().manual_seed(1)
        for _ in range(10):
            weights.gradient.copy_(torch.randn(len(weights.gradient), generator=generator))
            seen.append({name: part.clone() for name, part in weights.views(weights.gradient).items()})
            optimizer.step(RATE)
        return weights.views(weights.values), seen

    return run


def test_first_and_last_layer_and_biases_are_adams(trained):
    (by_muon, _), (by_adam, _) = trained(Muon), trained(Optimizer)
    alike = {name for name in by_muon if by_muon[name].allclose(by_adam[name], rtol=1e-6, atol=1e-8)}
    assert alike == set(by_muon) - {"1.weight"}


def test_a_hidden_layer_moves_as_is_written_down(trained):
    found, seen = trained(Muon)
    weight = dict(network().named_parameters())["1.weight"].detach().double().flatten(1).numpy()
    momentum = np.zeros_like(weight)
    for gradients in seen:
        gradient = gradients["1.weight"].double().flatten(1).numpy()
        momentum = 0.95 * momentum + 0.05 * gradient
        ahead = 0.95 * momentum + 0.05 * gradient
        x = ahead / np.linalg.norm(ahead)
        for _ in range(5):
            square = x @ x.T
            x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
        weight = weight - RATE * 0.2 * np.sqrt(max(weight.shape)) * x
    np.testing.assert_allclose(found["1.weight"].flatten(1), weight, rtol=1e-3, atol=1e-5)
