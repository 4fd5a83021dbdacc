"""The denoising auto-encoder of "Building Autoencoders in Keras"; only the study trains it."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from domain_denoiser.networks import architectures

IMAGE_SIZE = (28, 28)


class Settings(architectures.Settings):
    """The settings from which `build` makes the network."""

    architecture: Literal["keras"]
    channels: Annotated[int, Field(ge=1, le=4096)]


class Keras(nn.Module):
    """Downsampling by 4 with max pooling, then upsampling by repeated pixels; H and W must be multiples of 4.

    Source: the denoising auto-encoder of "Building Autoencoders in Keras" (Chollet 2016), but with a linear output
    instead of the sigmoid: trained with a mean squared error instead of the cross-entropy, the sigmoid stays black.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers = [(1, channels), *[(channels, channels)] * 3, (channels, 1)]
        self.convolutions = nn.ModuleList(nn.Conv2d(inputs, outputs, 3, padding=1) for inputs, outputs in layers)

    def forward(self, noisy: Tensor) -> Tensor:
        """noisy, restored: float [B, 1, H, W]. Restored images are near [0, 1], not clipped to it."""
        first, second, third, fourth, last = self.convolutions
        features = noisy.contiguous(memory_format=torch.channels_last)
        for convolution in (first, second):
            features = nn.functional.max_pool2d(torch.relu(convolution(features)), 2)
        for convolution in (third, fourth):
            features = _doubled(torch.relu(convolution(features)))
        return last(features)


def _doubled(features: Tensor) -> Tensor:
    """Nearest-neighbour upsampling by 2: [B, C, H, W] -> [B, C, 2 H, 2 W].

    By copies, because their backward pass is deterministic on every device.
    """
    batch, channels, height, width = features.shape
    wide = features[:, :, :, None, :, None].expand(batch, channels, height, 2, width, 2)
    return wide.reshape(batch, channels, 2 * height, 2 * width)


def build(settings: Settings) -> Keras:
    """The network, with torch's default initial weights."""
    return Keras(settings.channels)
