"""The weights of what is no denoiser, and so has no settings: the linear restorer, the classifier."""

from pathlib import Path

from torch import nn

from domain_denoiser import layout
from domain_denoiser.base import atomic
from domain_denoiser.base.errors import BadInput


def save(made: nn.Module, folder: Path) -> None:
    """The weights alone, of a network that needs no settings."""
    from safetensors.torch import save_file

    with atomic.file(folder / layout.WEIGHTS) as temporary:
        save_file({name: weight.contiguous().cpu() for name, weight in made.state_dict().items()}, temporary)


def load(made: nn.Module, folder: Path) -> None:
    """Fill a network. Raises BadInput if the weights are not this network's."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / layout.WEIGHTS
    try:
        made.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise BadInput(f"{path} holds no weights of a {type(made).__name__}: {error}") from error
