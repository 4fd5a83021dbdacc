"""The weights of a network that is not a denoiser, and so has no settings: the classifier."""

from pathlib import Path

from torch import nn

from domain_denoiser import layout
from domain_denoiser.base import atomic
from domain_denoiser.base.errors import BadInput


def save(network: nn.Module, folder: Path) -> None:
    """Write model.safetensors, but no model.json."""
    from safetensors.torch import save_file

    with atomic.file(folder / layout.WEIGHTS) as temporary:
        save_file({name: weight.contiguous().cpu() for name, weight in network.state_dict().items()}, temporary)


def load(network: nn.Module, folder: Path) -> None:
    """Load the weights into a network. Raises BadInput if they do not fit it."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / layout.WEIGHTS
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise BadInput(f"{path} holds no weights of a {type(network).__name__}: {error}") from error
