"""What torch.export needs to know of our networks, so that what it writes takes images of every size and number."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def any_size() -> AbstractContextManager[None]:
    """Inside, sizes that are marked as dynamic stay so: torch.onnx.export does the same.

    By itself torch.export writes down whatever its example has by chance, such as a height that four divides, and
    refuses other images later.
    """
    return torch.fx.experimental._config.patch(backed_size_oblivious=True)


class AnyLayout(nn.Module):
    """The network without its choice of a memory format, which is only faster: to check it, torch.export would fix the
    number of images, and refuse a single one.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, noisy: Tensor) -> Tensor:
        """noisy, restored: as the network has them."""
        with _AsItLies():
            return self.network(noisy)


class _AsItLies(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        return args[0] if function is Tensor.contiguous else function(*args, **(kwargs or {}))
