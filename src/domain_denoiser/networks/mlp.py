"""The post's auto-encoder: one hidden layer, 784 - hidden - 784."""

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from domain_denoiser.networks import architectures

IMAGE_SIZE = (28, 28)
PIXELS = IMAGE_SIZE[0] * IMAGE_SIZE[1]


class Settings(architectures.Settings):
    """The settings from which `build` makes the network."""

    architecture: Literal["mlp"]
    hidden: Annotated[int, Field(ge=1, le=100_000)]
    output: Literal["sigmoid", "hard_sigmoid", "relu", "linear"]


class Output(NamedTuple):
    """An output activation: from the values of the decoder to restored images."""

    function: Callable[[Tensor], Tensor]  # values -> restored
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]  # dloss/drestored, values, restored -> dloss/dvalues


OUTPUTS = {
    "sigmoid": Output(torch.sigmoid, lambda gradient, _, restored: torch.ops.aten.sigmoid_backward(gradient, restored)),
    "hard_sigmoid": Output(
        functional.hardsigmoid, lambda gradient, values, _: torch.ops.aten.hardsigmoid_backward(gradient, values)
    ),
    "relu": Output(
        torch.relu, lambda gradient, _, restored: torch.ops.aten.threshold_backward(gradient, restored, 0.0)
    ),
    "linear": Output(nn.Identity(), lambda gradient, *_: gradient),
}


class Mlp(nn.Module):
    """restored = output(W2 relu(W1 noisy + b1) + b2).

    Source: the 2018 post "Using Auto-Encoders to denoise domain specific images" (784-300-784).
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.encoder = nn.Linear(PIXELS, settings.hidden)
        self.decoder = nn.Linear(settings.hidden, PIXELS)
        self.output = OUTPUTS[settings.output]

    def forward(self, noisy: Tensor) -> Tensor:
        """noisy, restored: float32 [B, 1, 28, 28]. The range of restored images is that of the output activation."""
        code = torch.relu(self.encoder(noisy.flatten(1)))
        return self.output.function(self.decoder(code)).view_as(noisy)


def build(settings: Settings) -> Mlp:
    """The network, with torch's default initial weights."""
    return Mlp(settings)
