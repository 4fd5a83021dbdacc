"""bfloat16: torch computes in it on every processor, slowly where there are no instructions for it."""

import copy
from typing import NamedTuple

import pytest
import torch
from torch import nn

from domain_denoiser import params
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import compute
from domain_denoiser.core.seeds import generator
from domain_denoiser.networks import architectures, keras
from domain_denoiser.networks.unet import Settings as UnetSettings
from domain_denoiser.training import gradients
from domain_denoiser.training.initialisation import initialise
from domain_denoiser.training.optimizer import Flat

CPU, GPU = torch.device("cpu"), torch.device("cuda")
KEY = "params.yaml: models.fixed.precision"


def capabilities(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """The processor has these, whatever it has."""
    there = {"architecture": "any", "avx2": True} | dict.fromkeys(names, True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: there)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)


@pytest.mark.parametrize("names", [[], ["bf16"], ["amx_bf16", "avx512_bf16"]], ids=["none", "arm", "x86"])
def test_the_processors_instructions_are_described(monkeypatch, names):
    capabilities(monkeypatch, *names)
    assert compute.bfloat16_instructions() == names
    described = compute.describe(params.Compute(device="cpu", threads=1))
    assert described["bfloat16_instructions"] == (", ".join(names) or "none")


def test_instructions_without_a_library_that_uses_them_are_none(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"bf16": True})
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert compute.bfloat16_instructions() == []


def test_a_processor_without_instructions_is_refused_in_one_sentence(monkeypatch):
    capabilities(monkeypatch)
    with pytest.raises(BadInput) as raised:
        compute.require("bfloat16", CPU, KEY)
    assert str(raised.value) == (
        f"{KEY} is 'bfloat16', but this processor has no instructions for bfloat16; 'float32' would work"
    )
    compute.require("float32", CPU, KEY)
    capabilities(monkeypatch, "avx512_bf16")
    compute.require("bfloat16", CPU, KEY)


def test_a_gpu_that_emulates_it_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "An old GPU")
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, there=there: there)
        if there:
            compute.require("bfloat16", GPU, KEY)
    with pytest.raises(BadInput, match="An old GPU does not compute in bfloat16; 'float32' would work"):
        compute.require("bfloat16", GPU, KEY)


class Batch(NamedTuple):
    """A network with images."""

    network: nn.Module
    settings: params.Training
    noisy: torch.Tensor
    clean: torch.Tensor

    def gradient(self, precision: str) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss and its gradient by all weights, as training computes them."""
        weights = Flat(self.network)
        settings = self.settings.model_copy(update={"precision": precision})
        with gradients.gradient_of(self.network, weights, settings) as gradient:
            return gradient(self.noisy, self.clean), weights.gradient


@pytest.fixture
def draw() -> torch.Generator:
    return generator("cpu", 2018, "test")


@pytest.fixture(params=["mlp", "mlp by autograd", "unet", "keras"])
def batch(request, make_settings, draw) -> Batch:
    architecture = request.param.split()[0]
    loss = "rmse" if request.param == "mlp by autograd" else "mse"
    settings = make_settings(architecture=architecture, hidden=300, loss=loss)
    match request.param:
        case "unet":
            small = {"fine_channels": 8, "coarse_channels": 8, "fine_blocks": 1, "coarse_blocks": 1}
            network = architectures.build(UnetSettings(architecture="unet", image_channels=1, residual=False, **small))
        case "keras":
            network = keras.Keras(4)
        case _:
            network = architectures.build(settings)
    initialise(network, "pytorch", draw)  # with biases
    return Batch(network, settings, *torch.rand(2, 64, 1, 28, 28, generator=draw))


def test_gradient_in_bfloat16_is_near_that_in_float32(batch):
    exact_loss, exact = batch.gradient("float32")
    loss, low = batch.gradient("bfloat16")
    assert low.dtype == loss.dtype == torch.float32
    # Eight bits are kept: each number is off by 0.4 % at most, and many are summed.
    assert 0.0 < (low - exact).norm() < 0.015 * exact.norm()
    assert loss.item() == pytest.approx(exact_loss.item(), rel=1e-3)


def test_what_is_trained_stays_exact(batch):
    """The optimizer's steps are smaller than what rounding takes away; and validation rounds nothing."""
    before, expected = copy.deepcopy(batch.network.state_dict()), batch.network(batch.noisy)
    batch.gradient("bfloat16")
    assert all(weight.equal(before[name]) for name, weight in batch.network.state_dict().items())
    assert batch.network(batch.noisy).equal(expected)


def test_float32_copies_no_weights(make_settings):
    """Its gradient is computed where the optimizer reads it."""
    network = architectures.build(make_settings())
    weights = Flat(network)
    with gradients.gradient_of(network, weights, make_settings()) as made:
        used = [*made._weight.values(), *made._gradient.values()]
    assert {place(view) for view in used} == {place(weights.values), place(weights.gradient)}


def place(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
