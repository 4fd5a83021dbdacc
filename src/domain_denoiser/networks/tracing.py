"""Settings for torch.export, so that exported networks accept any image size and any batch size."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def any_size() -> AbstractContextManager[None]:
    """A context in which dynamic sizes stay dynamic, as in torch.onnx.export.

    By default torch.export records incidental properties of its example, such as a height that is a multiple of 4, and
    the exported network then refuses other images.
    """
    return torch.fx.experimental._config.patch(backed_size_oblivious=True)


class AnyLayout(nn.Module):
    """The network without its memory format, which only serves speed.

    With it, torch.export fixes the batch size to check the format, and refuses a single image.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, noisy: Tensor) -> Tensor:
        """noisy, restored: as in the network."""
        with _KeepLayout():
            return self.network(noisy)


class _KeepLayout(TorchFunctionMode):
    """Inside, Tensor.contiguous returns its tensor unchanged."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        return args[0] if function is Tensor.contiguous else function(*args, **(kwargs or {}))
