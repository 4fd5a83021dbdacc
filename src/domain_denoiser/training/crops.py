"""Random crops of images, flipped, turned and with their colours exchanged: what one epoch sees of them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from domain_denoiser.base.errors import BadInput


class Crops(NamedTuple):
    """Which part of each image an epoch sees, and how it lies. Where all are None: all of it, as it is."""

    side: int | None  # height and width of the parts, pixels
    corners: Tensor | None  # int64 [N, 2]: the top row and the left column
    symmetries: Tensor | None  # bool [N, 3]: upside down, mirrored, rows for columns
    channels: Tensor | None  # int64 [N, C]: the channel of the image that stands in each one's place

    @classmethod
    def draw(
        cls, shape: Sequence[int], side: int | None, augment: bool, exchange: bool, generator: torch.Generator
    ) -> "Crops":
        """Uniformly over all places, with `augment` over the eight symmetries of a square, with `exchange` over the
        orders of the channels.

        shape: of images [N, H, W], or [N, C, H, W] to be exchanged, all at least `side` high and wide; generator: on
        the CPU. Raises BadInput if the images are smaller, or are to be turned and are no squares.
        """
        count, height, width = shape[0], shape[-2], shape[-1]
        if side is not None and side > min(height, width):
            raise BadInput(f"crops of {side} x {side} pixels do not fit into images of {width} x {height}")
        if augment and side is None and height != width:
            raise BadInput(f"images of {width} x {height} pixels cannot be turned by a quarter: crop them to squares")
        corners = symmetries = channels = None
        if side is not None:
            corners = torch.stack(
                [torch.randint(length - side + 1, (count,), generator=generator) for length in (height, width)], 1
            )
        if augment:
            symmetries = torch.randint(2, (count, 3), generator=generator).bool()
        if exchange:
            channels = torch.rand(shape[0], shape[1], generator=generator).argsort(1)
        return cls(side, corners, symmetries, channels)

    def __call__(self, images: Tensor, some: Tensor) -> Tensor:
        """The parts of images [N, ..., H, W] of any type, for the indices `some`, int64 [B]: [B, ..., side, side]."""
        if self.corners is None:
            found = images.index_select(0, some)
        else:
            places = zip(some.tolist(), self.corners[some.cpu()].tolist())
            found = torch.stack(
                [images[at, ..., top : top + self.side, left : left + self.side] for at, (top, left) in places]
            )
        if self.channels is not None:
            orders = self.channels[some.cpu()].to(found.device)
            found = found.take_along_dim(orders[..., None, None], 1)
        if self.symmetries is None:
            return found
        drawn = self.symmetries[some.cpu()].to(found.device)
        down, across, turned = drawn.view(len(some), 3, *[1] * (found.ndim - 1)).unbind(1)
        found = torch.where(down, found.flip(-2), found)
        found = torch.where(across, found.flip(-1), found)
        return torch.where(turned, found.mT, found)
