"""Networks that only the study trains, beside those of the package `models`."""

from pathlib import Path

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from domain_denoiser.base import atomic, reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.networks import architectures, stored
from domain_denoiser.params import MlpModel, UnetModel, check, network
from domain_denoiser.study.params import KerasModel


class Keras(nn.Module):
    """Down to a quarter of the size by max pooling and up again by repeating pixels; heights and widths divide by 4.

    Source: the denoising auto-encoder of "Building Autoencoders in Keras" (Chollet 2016), but with a linear output in
    place of the sigmoid: with a mean squared error in place of the cross-entropy, the sigmoid stays black.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers = [(1, channels), *[(channels, channels)] * 3, (channels, 1)]
        self.convolutions = nn.ModuleList(nn.Conv2d(given, made, 3, padding=1) for given, made in layers)

    def forward(self, noisy: Tensor) -> Tensor:
        """noisy, restored: float [B, 1, H, W]. Restored images are near [0, 1], not clipped to it."""
        first, second, third, fourth, last = self.convolutions
        features = noisy.contiguous(memory_format=torch.channels_last)
        for convolution in (first, second):
            features = nn.functional.max_pool2d(torch.relu(convolution(features)), 2)
        for convolution in (third, fourth):
            features = _twice_as_large(torch.relu(convolution(features)))
        return last(features)


def _twice_as_large(features: Tensor) -> Tensor:
    """Each pixel four times; by copying, whose gradient is deterministic on every device."""
    batch, channels, height, width = features.shape
    wide = features[:, :, :, None, :, None].expand(batch, channels, height, 2, width, 2)
    return wide.reshape(batch, channels, 2 * height, 2 * width)


def build(settings: MlpModel | UnetModel | KerasModel) -> nn.Module:
    """The network that the settings describe; it maps noisy to restored, both float32 [B, 1, 28, 28]."""
    return Keras(settings.channels) if isinstance(settings, KerasModel) else architectures.build(settings)


def described(settings: MlpModel | UnetModel | KerasModel) -> BaseModel:
    """What model.json keeps of the settings."""
    return settings if isinstance(settings, KerasModel) else network(settings)


def load(folder: Path, device: "torch.device | str") -> nn.Module:
    """The network with its weights, ready to restore. Raises BadInput if the folder holds none."""
    path = folder / stored.SETTINGS
    recorded = reading.from_json(reading.content(path, reading.LARGEST_TEXT), str(path))
    if not (isinstance(recorded, dict) and recorded.get("architecture") == "keras"):
        return stored.load(folder, device)
    made = Keras(check(KerasModel, recorded, str(path)).channels)
    load_weights(made, folder)
    return made.eval().requires_grad_(False).to(device)


def save_weights(made: nn.Module, folder: Path) -> None:
    """The weights alone, of a network that needs no settings."""
    from safetensors.torch import save_file

    with atomic.file(folder / stored.WEIGHTS) as temporary:
        save_file({name: weight.contiguous().cpu() for name, weight in made.state_dict().items()}, temporary)


def load_weights(made: nn.Module, folder: Path) -> None:
    """Fill a network. Raises BadInput if the weights are not this network's."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / stored.WEIGHTS
    try:
        made.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise BadInput(f"{path} holds no weights of a {type(made).__name__}: {error}") from error
