"""The post's auto-encoder: one hidden layer, 784 - hidden - 784."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from domain_denoiser import params

PIXELS = 28 * 28
OUTPUTS = {
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": functional.hardsigmoid,
    "relu": torch.relu,
    "linear": nn.Identity(),
}


class Mlp(nn.Module):
    """restored = output(W2 relu(W1 noisy + b1) + b2).

    Source: the 2018 post "Using Auto-Encoders to denoise domain specific images" (784-300-784).
    """

    def __init__(self, settings: params.Mlp) -> None:
        super().__init__()
        self.encoder = nn.Linear(PIXELS, settings.hidden)
        self.decoder = nn.Linear(settings.hidden, PIXELS)
        self.output = OUTPUTS[settings.output]

    def forward(self, noisy: Tensor) -> Tensor:
        """noisy, restored: float32 [B, 1, 28, 28]. Restored images are in [0, 1] up to the output's own range."""
        code = torch.relu(self.encoder(noisy.flatten(1)))
        return self.output(self.decoder(code)).view_as(noisy)
