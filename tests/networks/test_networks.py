import io
import json
import math
import os
import pickle
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from domain_denoiser import params
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core.seeds import generator
from domain_denoiser.networks import architectures, stored
from domain_denoiser.networks.mlp import Settings as MlpSettings
from domain_denoiser.networks.unet import OPPONENT
from domain_denoiser.networks.unet import Settings as UnetSettings
from domain_denoiser.training.initialisation import initialise
from domain_denoiser.training.mlp_gradient import MlpGradient
from domain_denoiser.training.optimizer import Flat

OUTPUTS = ("sigmoid", "hard_sigmoid", "relu", "linear")
KNOWN = ", ".join(architectures.names())
NOISY = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
WITHOUT_CHANNELS = {
    "architecture": "unet",
    "residual": False,
    "fine_channels": 1,
    "coarse_channels": 1,
    "fine_blocks": 1,
    "coarse_blocks": 1,
}


def mlp(hidden: int = 16, output: str = "sigmoid") -> MlpSettings:
    return MlpSettings(architecture="mlp", hidden=hidden, output=output)


@pytest.mark.parametrize("output", OUTPUTS)
def test_mlp_is_the_equation_of_its_docstring(output):
    network = architectures.build(mlp(output=output)).double()
    first, second = network.encoder, network.decoder
    code = (NOISY.double().reshape(3, 784) @ first.weight.T + first.bias).clamp(min=0)
    linear = code @ second.weight.T + second.bias
    expected = {
        "sigmoid": 1 / (1 + (-linear).exp()),
        "hard_sigmoid": (linear / 6 + 0.5).clamp(0, 1),
        "relu": linear.clamp(min=0),
        "linear": linear,
    }[output]
    torch.testing.assert_close(network(NOISY.double()), expected.reshape(3, 1, 28, 28))


def test_mlp_of_the_post_has_its_number_of_weights():
    network = architectures.build(mlp(hidden=300))
    assert sum(weight.numel() for weight in network.parameters()) == 784 * 300 + 300 + 300 * 784 + 784


def test_image_is_restored_alone():
    network = architectures.build(mlp())
    torch.testing.assert_close(network(NOISY), torch.cat([network(image[None]) for image in NOISY]))


def test_every_architecture_of_params_is_built_and_takes_images_of_its_size(values):
    for model in params.check(params.Params, values, "params.yaml").models.values():
        size = architectures.image_size(model)
        for height, width in [size] if size else [(28, 28), (1, 1), (5, 63), (30, 4)]:
            given = torch.rand(2, 1, height, width)
            restored = architectures.build(model)(given)
            assert restored.shape == given.shape
            assert restored.isfinite().all()


def unet(image_channels: int = 1, residual: bool = False) -> nn.Module:
    settings = {
        "architecture": "unet",
        "image_channels": image_channels,
        "residual": residual,
        "fine_channels": 8,
        "coarse_channels": 12,
        "fine_blocks": 2,
        "coarse_blocks": 1,
    }
    network = architectures.build(UnetSettings.model_validate(settings))
    initialise(network, "kaiming", generator("cpu", 2018, "initialisation"))
    return network


def test_unet_moves_with_the_image():
    """By whole steps of its coarsest features, and away from the border."""
    network = unet().double()
    image = torch.zeros(1, 1, 96, 96, dtype=torch.float64)
    image[..., 40:50, 40:50] = torch.rand(10, 10, dtype=torch.float64)
    moved = image.roll((4, 8), dims=(2, 3))
    torch.testing.assert_close(network(moved)[..., 36:64, 40:64], network(image)[..., 32:60, 32:56])


def test_unet_sees_from_afar():
    network, image = unet(), torch.rand(1, 1, 28, 28, requires_grad=True)
    (seen,) = torch.autograd.grad(network(image)[0, 0, 14, 14], image)
    rows = seen[0, 0].abs().sum(1).nonzero()
    assert rows.max() - rows.min() >= 20


@pytest.mark.parametrize(("height", "width"), [(28, 28), (1, 1), (5, 63), (30, 4)])
def test_unet_for_colour_takes_and_gives_three_channels(height, width):
    noisy = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    network = unet(3)
    restored = network(noisy)
    assert restored.shape == noisy.shape
    assert restored.isfinite().all()
    torch.testing.assert_close(restored, torch.cat([network(image[None]) for image in noisy]))


def test_each_channel_that_unet_restores_sees_all_three():
    """What the colours of a photo share helps against noise; three times the network for grey would not see it."""
    network, image = unet(3), torch.rand(1, 3, 28, 28, requires_grad=True)
    for channel in range(3):
        (seen,) = torch.autograd.grad(network(image)[0, channel, 14, 14], image)
        assert (seen[0].abs().sum((1, 2)) > 0).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_residual_unet_starts_as_one_that_changes_nothing_and_then_adds_to_the_noisy_image(channels):
    network, noisy = unet(channels, residual=True), torch.rand(2, channels, 13, 30)
    assert network(noisy).equal(noisy)
    torch.nn.init.normal_(network.tail.weight)
    plain = unet(channels)
    plain.load_state_dict(network.state_dict())
    torch.testing.assert_close(network(noisy), noisy + plain(noisy))


def test_opponent_colours_keep_the_strength_of_noise_and_its_independence():
    opponent = torch.tensor(OPPONENT, dtype=torch.float64)
    torch.testing.assert_close(opponent @ opponent.mT, torch.eye(3, dtype=torch.float64))
    grey = opponent @ torch.ones(3, dtype=torch.float64)  # has brightness and no colour
    torch.testing.assert_close(grey, torch.tensor([math.sqrt(3), 0.0, 0.0], dtype=torch.float64))


def test_layers_of_a_colour_unet_see_brightness_first():
    """Grey that is saved as colour differs from black in the brightness alone."""
    network, seen = unet(3), []
    network.head.register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
    network(torch.rand(1, 1, 8, 8).expand(1, 3, 8, 8))
    [pixels] = seen  # four for each colour
    assert pixels[:, :4].min() > 0.0
    torch.testing.assert_close(pixels[:, 4:], torch.zeros(1, 8, 4, 4), atol=1e-6, rtol=0.0)


def test_unet_for_colour_has_the_weights_of_the_one_for_grey_but_at_both_ends():
    def shapes(image_channels: int) -> dict[str, list[int]]:
        return {name: list(weight.shape) for name, weight in unet(image_channels).named_parameters()}

    grey, colour = shapes(1), shapes(3)
    ends = {"head.weight": [8, 12, 3, 3], "tail.weight": [12, 8, 3, 3], "tail.bias": [12]}
    assert colour == grey | ends


@pytest.mark.parametrize("found", [0, 2, 4, "3", None])
def test_images_of_other_channels_than_one_or_three_are_refused(found):
    values = WITHOUT_CHANNELS | {"image_channels": found}
    with pytest.raises(BadInput, match=f"here: image_channels is {found!r}, but input should be 1 or 3"):
        architectures.settings(values, "here")


def test_architectures_say_how_many_channels_their_images_have():
    assert architectures.channels(mlp()) == 1
    for channels in (1, 3):
        settings = architectures.settings(WITHOUT_CHANNELS | {"image_channels": channels}, "here")
        assert architectures.channels(settings) == channels


def test_a_unet_from_before_the_key_is_not_residual():
    values = {key: value for key, value in WITHOUT_CHANNELS.items() if key != "residual"} | {"image_channels": 1}
    assert not architectures.settings(values, "here").residual


def test_unet_without_image_channels_is_refused():
    with pytest.raises(BadInput, match="here: image_channels is missing"):
        architectures.settings(WITHOUT_CHANNELS, "here")


# How the weights start


def started(how: str, seed: int = 0) -> nn.Sequential:
    network = nn.Sequential(nn.Linear(200, 300), nn.ReLU(), nn.Conv2d(5, 60, 3), nn.Linear(400, 250))
    initialise(network, how, torch.Generator().manual_seed(seed))
    return network


@pytest.mark.parametrize(
    ("how", "bound"),
    [
        ("xavier", lambda fan_in, fan_out: math.sqrt(6 / (fan_in + fan_out))),
        ("kaiming", lambda fan_in, fan_out: math.sqrt(6 / fan_in)),
        ("pytorch", lambda fan_in, fan_out: 1 / math.sqrt(fan_in)),
    ],
)
def test_weights_are_uniform_up_to_the_bound_of_the_paper(how, bound):
    network = started(how)
    for layer, fans in ((network[0], (200, 300)), (network[2], (5 * 9, 60 * 9)), (network[3], (400, 250))):
        limit, weight = bound(*fans), layer.weight.detach()
        assert weight.abs().max() <= limit
        assert weight.abs().max() > 0.99 * limit
        # A uniform distribution has the standard deviation limit / sqrt(3).
        assert weight.std() * math.sqrt(3) / limit == pytest.approx(1, abs=0.05)
        if how == "pytorch":
            assert 0.8 * limit < layer.bias.abs().max() <= limit
        else:
            assert not layer.bias.any()


def test_orthogonal_weights_keep_lengths():
    for layer in (started("orthogonal")[0], started("orthogonal")[3]):
        weight = layer.weight.detach()
        weight = weight if weight.shape[0] <= weight.shape[1] else weight.T
        torch.testing.assert_close(weight @ weight.T, torch.eye(len(weight)), rtol=0, atol=1e-5)
        assert not layer.bias.any()


def test_pytorch_weights_are_those_of_torch_itself():
    torch.manual_seed(0)
    own, ours = nn.Linear(400, 250), started("pytorch")[3]
    for a, b in ((own.weight, ours.weight), (own.bias, ours.bias)):
        assert a.abs().max().item() == pytest.approx(b.abs().max().item(), rel=0.02)


@pytest.mark.parametrize("how", ["xavier", "kaiming", "orthogonal", "pytorch"])
def test_equal_seed_starts_equal_weights(how):
    one, again, other = started(how).state_dict(), started(how).state_dict(), started(how, seed=1).state_dict()
    assert all(one[name].equal(again[name]) for name in one)
    assert not any(one[name].equal(other[name]) for name in one if name.endswith("weight"))


def test_unknown_start_is_no_start():
    with pytest.raises(ValueError, match="unknown initialisation 'zeros'"):
        started("zeros")


# A model in a folder


@pytest.fixture
def folder(tmp_path):
    """A stored model, to be spoilt."""
    stored.save(tmp_path / "model", architectures.build(mlp()).state_dict(), mlp())
    return tmp_path / "model"


def refused(folder, wanted):
    with pytest.raises(BadInput, match=wanted) as raised:
        stored.load(folder, "cpu")
    assert str(folder) in str(raised.value)


@pytest.mark.parametrize("output", OUTPUTS)
def test_stored_model_restores_as_before(tmp_path, output):
    network = architectures.build(mlp(output=output))
    stored.save(tmp_path, network.state_dict(), mlp(output=output))
    loaded = stored.load(tmp_path, "cpu")
    assert loaded(NOISY).equal(network(NOISY))
    assert not loaded.training
    assert not any(weight.requires_grad for weight in loaded.parameters())


def in_another_layout(weight: torch.Tensor) -> torch.Tensor:
    return weight.repeat_interleave(2, dim=-1)[..., ::2]


def test_equal_weights_give_equal_bytes(tmp_path, tree):
    weights = architectures.build(mlp()).state_dict()
    stored.save(tmp_path / "a", weights, mlp())
    turned_over = {name: in_another_layout(weights[name]) for name in reversed(weights)}
    stored.save(tmp_path / "b", turned_over, mlp())
    assert tree(tmp_path / "a") == tree(tmp_path / "b") == {"model.safetensors", "model.json"}
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_model_json_says_what_the_network_is_and_no_more(folder):
    assert json.loads((folder / "model.json").read_bytes()) == {
        "architecture": "mlp",
        "hidden": 16,
        "output": "sigmoid",
    }


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    refused(folder, name)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content[:5],
        lambda content: b"",
        lambda content: content + b"more",
        lambda content: struct.pack("<Q", 2**60) + content[8:],
        lambda content: b"PK\x03\x04" + content,
    ],
    ids=["half", "one byte short", "no header", "empty", "too long", "huge header", "zip"],
)
def test_spoilt_weights_are_refused(folder, spoil):
    path = folder / "model.safetensors"
    path.write_bytes(spoil(path.read_bytes()))
    refused(folder, "model.safetensors holds no weights")


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda w: w | {"encoder.weight": torch.zeros(16, 783)}, r"encoder.weight .*783.* needs .*784"),
        (lambda w: w | {"encoder.weight": w["encoder.weight"].half()}, "encoder.weight .*float16.* needs .*float32"),
        (lambda w: w | {"extra": torch.zeros(1)}, "has extra .* needs no such tensor"),
        (lambda w: {"encoder.bias": w["encoder.bias"]}, "decoder.bias nowhere"),
        (lambda w: {}, "nowhere"),
        (lambda w: w | {"decoder.bias": w["decoder.bias"].index_fill(0, torch.tensor(7), math.nan)}, "not finite"),
        (lambda w: w | {"decoder.bias": w["decoder.bias"].index_fill(0, torch.tensor(7), math.inf)}, "not finite"),
    ],
    ids=["shape", "type", "extra", "one only", "none", "NaN", "infinity"],
)
def test_weights_of_another_network_are_refused(folder, change, wanted):
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path)
    refused(folder, wanted)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ('{"architecture": "mlp", "hidden": 1000000000000, "output": "sigmoid"}', "hidden is 1000000000000, but"),
        ('{"architecture": "mlp", "hidden": 100000, "output": "sigmoid"}', r"needs .*100000"),
        ('{"architecture": "mlp", "hidden": -1, "output": "sigmoid"}', "hidden is -1, but"),
        (
            '{"architecture": "os.system", "hidden": 16, "output": "sigmoid"}',
            f"architecture is 'os.system', but one of {KNOWN}",
        ),
        ('{"architecture": "mlp", "hidden": 16}', "output is missing"),
        ('{"architecture": "mlp", "hidden": 16, "output": "sigmoid", "epochs": 3}', "epochs is not a known key"),
        ("[]", "model.json"),
        ("null", "model.json"),
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("\udcff", "is not JSON"),
    ],
)
def test_spoilt_settings_are_refused(folder, content, wanted):
    (folder / "model.json").write_bytes(content.encode(errors="surrogateescape"))
    refused(folder, wanted)


class Payload:
    """Unpickling it leaves a folder behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("packer", [pickle, torch], ids=["pickle", "torch"])
def test_pickle_is_refused_and_not_executed(folder, tmp_path, packer):
    harm, content = tmp_path / "harm", io.BytesIO()
    (packer.dump if packer is pickle else packer.save)(Payload(harm), content)
    (folder / "model.safetensors").write_bytes(content.getvalue())
    refused(folder, "model.safetensors holds no weights")
    assert not harm.exists()
    content.seek(0)  # what would have happened
    pickle.load(content) if packer is pickle else torch.load(content, weights_only=False)
    assert harm.exists()


@pytest.mark.parametrize("batch", [1, 7, 64])
@pytest.mark.parametrize("output", ["sigmoid", "hard_sigmoid", "relu", "linear"])
def test_written_out_gradient_is_autograds(make_settings, output, batch):
    settings = make_settings(output=output)
    draw = generator("cpu", 2018, "initialisation")
    network = architectures.build(settings)
    initialise(network, "xavier", draw)
    network.decoder.weight.data *= 5  # so that a hard sigmoid saturates here and there
    noisy, clean = torch.rand(2, batch, 1, 28, 28, generator=draw)
    expected_loss = functional.mse_loss(network(noisy), clean)
    expected = torch.autograd.grad(expected_loss, list(network.parameters()))
    weights = Flat(network)
    loss = MlpGradient(network, weights)(noisy, clean)
    torch.testing.assert_close(loss, expected_loss)
    for parameter, gradient in zip(network.parameters(), expected):
        assert gradient.any()
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("ask", [architectures.build, architectures.image_size])
def test_an_unknown_architecture_is_refused(make_settings, ask):
    """`None` would stand for a network, and for any size."""
    with pytest.raises(BadInput, match="architecture is 'transformer', but one of keras, mlp, unet is expected"):
        ask(make_settings().model_copy(update={"architecture": "transformer"}))
