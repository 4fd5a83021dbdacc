import pytest
import torch
from torch import nn

from domain_denoiser.networks import architectures
from domain_denoiser.training import gradients
from domain_denoiser.training.optimizer import Flat

WRITTEN_OUT = {
    "mse": lambda each: each.mean(),
    "rmse": lambda each: torch.sqrt(each + 1e-6).mean(),
    "log_mse": lambda each: torch.log(each + 2e-3).mean(),
}


@pytest.fixture
def network(make_settings) -> nn.Module:
    torch.manual_seed(0)
    small = {
        "image_channels": 1,
        "residual": False,
        "fine_channels": 8,
        "coarse_channels": 8,
        "fine_blocks": 1,
        "coarse_blocks": 1,
    }
    return architectures.build(make_settings(architecture="unet", **small))


@pytest.fixture(params=[1, 2, 7, 64])
def batch(request) -> torch.Tensor:
    """Noisy and clean images, some batches of an odd number, one of a single image."""
    return torch.rand(2, request.param, 1, 28, 28, generator=torch.Generator().manual_seed(1))


def by_halves(network: nn.Module, loss: str, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean squared error and the gradient."""
    weights = Flat(network)
    with gradients.helper() as beside:
        error = gradients.Autograd(network, weights, loss, beside)(*batch)
    return error, weights.gradient


@pytest.mark.parametrize("loss", gradients.LOSSES)
def test_halves_add_up_to_the_gradient_of_the_batch(network, batch, loss):
    noisy, clean = batch
    each = (network(noisy) - clean).square().mean((1, 2, 3))
    expected = torch.autograd.grad(WRITTEN_OUT[loss](each), list(network.parameters()))
    error, gradient = by_halves(network, loss, batch)
    torch.testing.assert_close(error, each.mean())
    expected = torch.cat([part.flatten() for part in expected])
    assert (gradient - expected).norm() < 1e-5 * expected.norm()


def test_one_thread_and_two_give_equal_bytes(network, batch, monkeypatch):
    error, gradient = by_halves(network, "rmse", batch)
    for threads in (2, 3):
        torch.set_num_threads(threads)
        try:
            again, gradient_again = by_halves(network, "rmse", batch)
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(1)
        assert error.equal(again)
        assert gradient.equal(gradient_again)


def test_a_gradient_does_not_depend_on_the_one_before(network, batch):
    weights = Flat(network)
    with gradients.helper() as beside:
        gradient = gradients.Autograd(network, weights, "mse", beside)
        gradient(*batch)
        first = weights.gradient.clone()
        gradient(*batch.flip(0))
        gradient(*batch)
    assert weights.gradient.equal(first)


def test_the_copies_follow_the_weights(network, batch):
    weights = Flat(network)
    with gradients.helper() as beside:
        gradient = gradients.Autograd(network, weights, "mse", beside)
        before = gradient(*batch)
        weights.values.mul_(2.0)
        after, expected = gradient(*batch), (network(batch[0]) - batch[1]).square().mean()
    torch.testing.assert_close(after, expected)
    assert not after.isclose(before)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_an_operation_has_half_of_the_threads_and_they_come_back(threads):
    torch.set_num_threads(threads)
    try:
        with gradients.helper() as beside:
            counts = [torch.get_num_threads(), beside.submit(torch.get_num_threads).result()]
        assert counts == [max(1, threads // 2)] * 2
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("threads", [1, 2])
def test_denormals_are_zero_beside_too(threads):
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        with gradients.helper() as beside:
            assert not beside.submit(torch.mul, torch.full((64,), 1e-30), 1e-10).result().any()
    finally:
        torch.set_num_threads(1)
