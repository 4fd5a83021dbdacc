"""The baselines that the models are compared with."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

NOISY = "noisy"


def unrestored(noisy: "Tensor") -> "Tensor":
    """The noisy input itself, so that tables show the gain of restoring."""
    return noisy


BASELINES = {NOISY: unrestored}
