"""Large images restored in pieces, so that what a network needs for its features does not grow with them."""

import numpy as np
import torch
from torch import Tensor

from domain_denoiser.evaluation.wholes import Restore
from domain_denoiser.runtime import tiles
from domain_denoiser.runtime.tiles import Reach


def in_pieces(restore: Restore, reach: tuple[int, int] | None) -> Restore:
    """As `restore`; images of more than `tiles.SIDE` pixels a side go in overlapping pieces, which equal the whole.

    reach: how far the network looks, and the multiple that pieces begin at; None if it is not known: then all images
    go in one piece.
    """

    def at_once(image: np.ndarray, device: torch.device) -> np.ndarray:
        return restore(torch.from_numpy(image).to(device).permute(2, 0, 1)[None])[0].permute(1, 2, 0).cpu().numpy()

    def restored(noisy: Tensor) -> Tensor:
        if reach is None or max(noisy.shape[-2:]) <= tiles.SIDE + 2 * reach[0]:
            return restore(noisy)
        each = [
            tiles.in_tiles(lambda some, _: at_once(some, noisy.device), image, Reach(*reach), tiles.SIDE)
            for image in noisy.permute(0, 2, 3, 1).cpu().numpy()
        ]
        return torch.from_numpy(np.stack(each)).permute(0, 3, 1, 2).to(noisy.device)

    return restored
