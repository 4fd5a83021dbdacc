"""Which network settings describe: `build` makes it."""

from typing import TYPE_CHECKING

from domain_denoiser.params import Network

if TYPE_CHECKING:
    import torch


def build(settings: Network) -> "torch.nn.Module":
    """The network that the settings describe; it maps noisy to restored, both float32 [B, 1, H, W].

    An architecture is imported only when it is asked for, so that a change to one file retrains its models alone.
    Raises ValueError if there is no such architecture.
    """
    match settings.architecture:
        case "mlp":
            from domain_denoiser.networks.mlp import Mlp

            return Mlp(settings)
        case "unet":
            from domain_denoiser.networks.unet import Unet

            return Unet(settings)
        case unknown:
            raise ValueError(f"unknown architecture {unknown!r}")


def image_size(settings: Network) -> tuple[int, int] | None:
    """Height and width of the images that the network takes; None if it takes any.

    Raises ValueError if there is no such architecture.
    """
    match settings.architecture:
        case "mlp":
            return 28, 28
        case "unet":
            return None
        case unknown:
            raise ValueError(f"unknown architecture {unknown!r}")
