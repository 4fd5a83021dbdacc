"""A model in a folder: model.safetensors (the weights) and model.json (the settings of the network)."""

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

LARGEST_HEADER = 2**20  # bytes in model.safetensors; the deepest network that params.yaml allows has a tenth of it


def save(folder: Path, weights: dict[str, torch.Tensor], settings: Settings) -> None:
    """Write both files, each atomically; equal weights and settings give equal bytes."""
    with atomic.file(folder / layout.WEIGHTS) as temporary:
        # Not safetensors' own write function: its errors do not say why the disk refused the data.
        temporary.write_bytes(to_bytes({name: weight.contiguous().cpu() for name, weight in weights.items()}))
    atomic.write_json(folder / layout.SETTINGS, settings.model_dump())


def load(folder: Path, device: "torch.device | str") -> torch.nn.Module:
    """The network with its weights, in evaluation mode and without gradients. Nothing is unpickled.

    Raises BadInput if the folder has no model, or if the weights do not fit the network.
    """
    settings, weights = load_settings(folder), _load_weights(folder / layout.WEIGHTS)
    # Shapes are compared before memory of the size that model.json claims is allocated.
    with torch.device("meta"):
        network = architectures.build(settings)
    expected = {name: (list(weight.shape), weight.dtype) for name, weight in network.state_dict().items()}
    found = {name: (list(weight.shape), weight.dtype) for name, weight in weights.items()}
    if found != expected:
        name = next(name for name in sorted(found | expected) if found.get(name) != expected.get(name))
        raise BadInput(
            f"{folder / layout.WEIGHTS} has {name} {found.get(name, 'nowhere')}, but {layout.SETTINGS} needs "
            f"{expected.get(name, 'no such tensor')}"
        )
    if not all(weight.isfinite().all() for weight in weights.values()):
        raise BadInput(f"{folder / layout.WEIGHTS} has weights that are not finite")
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False).to(device)


def load_settings(folder: Path) -> Settings:
    """The settings in model.json. Raises BadInput if the file is missing or not valid."""
    path = folder / layout.SETTINGS
    recorded = reading.from_json(reading.content(path, reading.LARGEST_TEXT), str(path))
    if not isinstance(recorded, dict):
        raise BadInput(f"{path} has no settings of a network")
    return architectures.settings(recorded, str(path))


def _load_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors, memory-mapped: a tensor is read on access. Raises BadInput if the file has no weights."""
    try:
        with reading.opened(path) as opened:
            header = int.from_bytes(opened.read(8), "little")
        if header > LARGEST_HEADER:
            raise BadInput(f"{path} holds no weights: its header claims {header} bytes, more than {LARGEST_HEADER}")
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{path} holds no weights: {error}") from error
