import pytest
import torch
from torch import nn

from domain_denoiser.training.optimizer import Flat


@pytest.fixture
def network():
    return nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3))


def test_network_computes_what_it_did(network):
    given = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    before = network(given)
    names = {name: weight.clone() for name, weight in network.state_dict().items()}
    Flat(network)
    assert network(given).equal(before)
    assert all(network.state_dict()[name].equal(weight) for name, weight in names.items())


def test_moving_the_values_moves_the_network(network):
    weights = Flat(network)
    weights.values.fill_(0.5)
    assert all((parameter == 0.5).all() for parameter in network.parameters())


def test_gradients_of_autograd_arrive_in_the_flat_one(network):
    given = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    expected = torch.autograd.grad(network(given).square().mean(), list(network.parameters()))
    weights = Flat(network)
    network(given).square().mean().backward()
    found = weights.views(weights.gradient)
    for (name, _), gradient in zip(network.named_parameters(), expected):
        torch.testing.assert_close(found[name], gradient)
    assert weights.gradient.count_nonzero() == sum(gradient.count_nonzero() for gradient in expected)
