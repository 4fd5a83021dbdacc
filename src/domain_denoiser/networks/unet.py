"""A small U-Net with two scales: half and a quarter of the size of the image."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from domain_denoiser.networks import architectures

IMAGE_SIZE = None  # any
# Brightness and two differences of colour, of red, green and blue (the opponent colours of Dabov et al. 2007). The rows
# have length 1 and are at right angles, so that noise keeps its strength and stays independent from channel to channel.
A, B, C = 3**-0.5, 2**-0.5, 6**-0.5
OPPONENT = ((A, A, A), (B, 0.0, -B), (C, -2 * C, C))
STEP = 4  # heights and widths are padded to a multiple of it


class Settings(architectures.Settings):
    """The settings from which `build` makes the network."""

    architecture: Literal["unet"]
    image_channels: Literal[1, 3]  # grey or colour
    residual: bool = False  # whether what the layers compute is added to the noisy image; champions from before lack it
    fine_channels: Annotated[int, Field(ge=1, le=4096)]
    coarse_channels: Annotated[int, Field(ge=1, le=4096)]
    coarse_blocks: Annotated[int, Field(ge=0, le=100)]
    fine_blocks: Annotated[int, Field(ge=0, le=100)]


class Residual(nn.Module):
    """features + conv(relu(conv(features))), [B, C, H, W]. Source: He et al. 2016, without normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.second(torch.relu(self.first(features)))


class Unet(nn.Module):
    """Fine features at half the size of the image, coarse features at a quarter; the coarse are added to the fine.

    Source: Ronneberger, Fischer & Brox 2015, with residual blocks. The first step turns 2 x 2 pixels into channels (Shi
    et al. 2016; for denoising Zhang, Zuo & Zhang 2018): the convolutions have a quarter of the positions and four times
    the channels, which in colour are those of `OPPONENT`. `residual`: Zhang et al. 2017; such a network starts as one
    that changes nothing (Zhang, Dauphin & Ma 2019).
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        fine, coarse = settings.fine_channels, settings.coarse_channels
        self.head = nn.Conv2d(4 * settings.image_channels, fine, 3, padding=1)
        self.down = nn.Conv2d(fine, coarse, 2, stride=2)
        self.coarse = nn.Sequential(*(Residual(coarse) for _ in range(settings.coarse_blocks)))
        self.up = nn.Conv2d(coarse, 4 * fine, 1)
        self.fine = nn.Sequential(*(Residual(fine) for _ in range(settings.fine_blocks)))
        self.tail = nn.Conv2d(fine, 4 * settings.image_channels, 3, padding=1)
        self.residual = settings.residual
        self.start_at_zero = ("tail",) if settings.residual else ()

    def forward(self, noisy: Tensor) -> Tensor:
        """noisy, restored: float [B, C, H, W] of any size. Restored images are near [0, 1], not clipped to it."""
        height, width = noisy.shape[-2:]
        opponent = noisy.new_tensor(OPPONENT)
        colours = _turned(noisy, opponent)
        padded = functional.pad(colours, (0, -width % STEP, 0, -height % STEP), mode="replicate")
        pixels = functional.pixel_unshuffle(padded, 2).contiguous(memory_format=torch.channels_last)
        fine = torch.relu(self.head(pixels))  # [B, fine, H / 2, W / 2]
        coarse = self.coarse(torch.relu(self.down(fine)))  # [B, coarse, H / 4, W / 4]
        fine = self.fine(fine + functional.pixel_shuffle(self.up(coarse), 2))
        found = _turned(functional.pixel_shuffle(self.tail(fine), 2)[..., :height, :width], opponent.mT)
        return noisy + found if self.residual else found


def _turned(images: Tensor, matrix: Tensor) -> Tensor:
    """The channels of each pixel by the matrix; grey images as they are. [B, C, H, W]."""
    return images if images.shape[1] == 1 else functional.conv2d(images, matrix[..., None, None])


def build(settings: Settings) -> Unet:
    """The network, with torch's default initial weights."""
    return Unet(settings)


def reach(settings: Settings) -> tuple[int, int]:
    """How many pixels away the network looks at most, and the multiple to which it aligns pixels.

    Head, tail and the fine blocks look 2 pixels further with each convolution, the coarse blocks 4; a coarse position
    is 4 pixels wide, so a pixel at its edge sees 3 more.
    """
    return 2 * (2 + 2 * settings.fine_blocks) + 4 * 2 * settings.coarse_blocks + 3, STEP
