"""What the models are compared with: the noisy input itself, and classical filters."""

from typing import TYPE_CHECKING

from domain_denoiser.params import FILTERS

if TYPE_CHECKING:
    from torch import Tensor

NOISY = "noisy"


def unrestored(noisy: "Tensor") -> "Tensor":
    """The noisy input itself, so that tables show the gain of restoring."""
    return noisy


BASELINES = {NOISY: unrestored}
NAMES = (NOISY, *FILTERS)  # of everything in tables that is no model
