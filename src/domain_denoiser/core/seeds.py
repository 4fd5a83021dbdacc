"""The seed of every random draw: derived from one seed and the name of the draw."""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(seed: int, *name: str | int) -> int:
    """A seed in [0, 2^63) for the draw called `name`, independent of all other names and of the order of the draws.

    `derive(2018, "noise", "fixed", 17)` is the seed of the noise of epoch 17: no state is carried from epoch to epoch.
    """
    digest = hashlib.sha256("/".join(str(part) for part in (seed, *name)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(device: "torch.device | str", seed: int, *name: str | int) -> "torch.Generator":
    """A generator on `device`, seeded by `derive(seed, *name)`."""
    import torch

    return torch.Generator(device).manual_seed(derive(seed, *name))
