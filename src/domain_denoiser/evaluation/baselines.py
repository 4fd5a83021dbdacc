"""What the models are compared with."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

NOISY = "noisy"


def unrestored(noisy: "Tensor") -> "Tensor":
    """The noisy input itself: the row that says what restoring gains."""
    return noisy


BASELINES = {NOISY: unrestored}
