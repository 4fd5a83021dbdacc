import copy
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from domain_denoiser import compute, models, params, precision, study_networks
from domain_denoiser.flat import Flat
from domain_denoiser.models.initialisation import initialise
from domain_denoiser.precision import Precision
from domain_denoiser.seeds import generator
from domain_denoiser.training import Autograd

FLOAT32 = Precision(torch.float32, torch.float32)
BFLOAT16 = Precision(torch.bfloat16, torch.bfloat16)
IN_FLOAT32 = Precision(torch.bfloat16, torch.float32)
CPU, GPU = torch.device("cpu"), torch.device("cuda")
# Which arguments of a product are its factors.
PRODUCTS = {
    torch.ops.aten.mm: slice(0, 2),
    torch.ops.aten.addmm: slice(1, 3),
    torch.ops.aten.convolution: slice(0, 2),
    torch.ops.aten.convolution_backward: slice(0, 3),
}


@pytest.fixture
def draw() -> torch.Generator:
    return generator("cpu", 2018, "test")


@pytest.mark.parametrize("names", [[], ["bf16"], ["amx_bf16", "avx512_bf16"]], ids=["none", "arm", "x86"])
def test_the_processors_instructions_decide(monkeypatch, names):
    capabilities = {"architecture": "any", "avx2": True} | dict.fromkeys(names, True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert compute.bfloat16_instructions() == names
    described = compute.describe(params.Compute(device="cpu", threads=1))
    assert described["bfloat16_instructions"] == (", ".join(names) or "none")
    assert precision.of("bfloat16", CPU) == (BFLOAT16 if names else IN_FLOAT32)
    assert precision.of("bfloat16", GPU) == BFLOAT16
    assert precision.of("float32", CPU) == precision.of("float32", GPU) == FLOAT32


def test_instructions_without_a_library_that_uses_them_are_none(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"bf16": True})
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert compute.bfloat16_instructions() == []


def test_factors_and_their_gradient_are_rounded(draw):
    numbers = torch.randn(1000, generator=draw).requires_grad_()
    factors = IN_FLOAT32.factor(numbers)
    assert factors.dtype == torch.float32
    assert factors.equal(numbers.to(torch.bfloat16).float()) and not factors.equal(numbers)
    given = torch.randn(1000, generator=draw)
    [gradient] = torch.autograd.grad(factors, numbers, given)
    assert gradient.equal(given.to(torch.bfloat16).float())
    assert FLOAT32.factor(numbers) is numbers
    assert BFLOAT16.factor(numbers).dtype == torch.bfloat16


class Batch(NamedTuple):
    """A network with images, and what training uses for its gradient."""

    network: nn.Module
    noisy: torch.Tensor
    clean: torch.Tensor
    begin: Callable[[nn.Module, Flat, Precision], Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]

    def gradient(self, factors: Precision) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss and its gradient by all weights."""
        weights = Flat(self.network)
        return self.begin(self.network, weights, factors)(self.noisy, self.clean), weights.gradient


def by_autograd(network: nn.Module, weights: Flat, factors: Precision) -> Autograd:
    return Autograd(network, weights, factors, "mse")


@pytest.fixture(params=["mlp", "mlp by autograd", "unet", "keras"])
def batch(request, make_settings, draw) -> Batch:
    mlp, begin = models.build(make_settings(hidden=300)), by_autograd
    match request.param:
        case "mlp":
            network, begin = mlp, type(mlp).gradient
        case "mlp by autograd":
            network = mlp
        case "unet":
            channels = {"fine_channels": 8, "coarse_channels": 8, "fine_blocks": 1, "coarse_blocks": 1}
            network = models.build(params.Unet(architecture="unet", **channels))
        case "keras":
            network = study_networks.Keras(4)
    initialise(network, "pytorch", draw)  # with biases
    return Batch(network, *torch.rand(2, 64, 1, 28, 28, generator=draw), begin)


def test_gradient_of_rounded_numbers_is_that_of_bfloat16(batch):
    exact_loss, exact = batch.gradient(FLOAT32)
    for factors in (BFLOAT16, IN_FLOAT32):
        loss, low = batch.gradient(factors)
        assert low.dtype == torch.float32
        # Eight bits are kept: each number is off by 0.4 % at most, and many are summed.
        assert 0.0 < (low - exact).norm() < 0.015 * exact.norm()
        assert loss.item() == pytest.approx(exact_loss.item(), rel=1e-3)
    _, natively = batch.gradient(BFLOAT16)
    assert (low - natively).norm() < 0.015 * exact.norm()


class Factors(TorchDispatchMode):
    """Notes for each product, of the way back as well, whether its factors are numbers in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.rounded: list[bool] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if factors := PRODUCTS.get(function.overloadpacket):
            self.rounded += [factor.equal(factor.to(torch.bfloat16).float()) for factor in args[factors]]
        return function(*args, **(kwargs or {}))


def test_every_factor_is_rounded(batch):
    with Factors() as exact:
        batch.gradient(FLOAT32)
    with Factors() as factors:
        batch.gradient(IN_FLOAT32)
    assert len(factors.rounded) == len(exact.rounded) >= 10
    assert all(factors.rounded) and not any(exact.rounded)


def test_what_is_trained_stays_exact(batch):
    """The optimizer's steps are smaller than what rounding takes away; and validation rounds nothing."""
    before, expected = copy.deepcopy(batch.network.state_dict()), batch.network(batch.noisy)
    batch.gradient(IN_FLOAT32)
    assert all(weight.equal(before[name]) for name, weight in batch.network.state_dict().items())
    assert batch.network(batch.noisy).equal(expected)
