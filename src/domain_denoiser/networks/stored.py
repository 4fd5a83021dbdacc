"""A model in a folder: model.safetensors (the weights) and model.json (what the network is)."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from domain_denoiser import layout
from domain_denoiser.base import atomic, reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.networks import architectures
from domain_denoiser.networks.architectures import Settings

LARGEST_HEADER = 2**20  # bytes of model.safetensors; the deepest network that params.yaml allows has a tenth of it


def save(folder: Path, weights: dict[str, torch.Tensor], settings: Settings) -> None:
    """Write both files, each whole or not at all; equal weights and settings give equal bytes."""
    with atomic.file(folder / layout.WEIGHTS) as temporary:
        # Not safetensors' own way of writing, whose errors do not say why the disk took no more.
        temporary.write_bytes(to_bytes({name: weight.contiguous().cpu() for name, weight in weights.items()}))
    atomic.write_json(folder / layout.SETTINGS, settings.model_dump())


def load(folder: Path, device: "torch.device | str") -> torch.nn.Module:
    """The network with its weights, ready to restore. Nothing is unpickled.

    Raises BadInput if the folder holds no model, or weights that are not this network's.
    """
    settings, weights = load_settings(folder), _load_weights(folder / layout.WEIGHTS)
    # Shapes are compared before anything of the size that model.json claims is allocated.
    with torch.device("meta"):
        network = architectures.build(settings)
    wanted = {name: (list(weight.shape), weight.dtype) for name, weight in network.state_dict().items()}
    found = {name: (list(weight.shape), weight.dtype) for name, weight in weights.items()}
    if found != wanted:
        name = next(name for name in sorted(found | wanted) if found.get(name) != wanted.get(name))
        raise BadInput(
            f"{folder / layout.WEIGHTS} has {name} {found.get(name, 'nowhere')}, but {layout.SETTINGS} wants "
            f"{wanted.get(name, 'no such tensor')}"
        )
    if not all(weight.isfinite().all() for weight in weights.values()):
        raise BadInput(f"{folder / layout.WEIGHTS} has weights that are not finite")
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False).to(device)


def load_settings(folder: Path) -> Settings:
    """What model.json says. Raises BadInput if there is none or it is not valid."""
    path = folder / layout.SETTINGS
    recorded = reading.from_json(reading.content(path, reading.LARGEST_TEXT), str(path))
    if not isinstance(recorded, dict):
        raise BadInput(f"{path} holds no settings of a network")
    return architectures.settings(recorded, str(path))


def _load_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors, mapped: of a tensor that is not looked at, nothing is read."""
    try:
        with reading.opened(path) as opened:
            header = int.from_bytes(opened.read(8), "little")
        if header > LARGEST_HEADER:
            raise BadInput(f"{path} holds no weights: its header claims {header} bytes, more than {LARGEST_HEADER}")
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{path} holds no weights: {error}") from error
