"""A model in a folder: model.safetensors (the weights) and model.json (what the network is)."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from domain_denoiser import atomic, params
from domain_denoiser.errors import BadInput
from domain_denoiser.models import build

WEIGHTS, SETTINGS = "model.safetensors", "model.json"


def save(folder: Path, weights: dict[str, torch.Tensor], settings: params.Network) -> None:
    """Write both files, each whole or not at all; equal weights and settings give equal bytes."""
    with atomic.file(folder / WEIGHTS) as temporary:
        save_file({name: weight.contiguous().cpu() for name, weight in weights.items()}, temporary)
    atomic.write_json(folder / SETTINGS, settings.model_dump())


def load(folder: Path, device: "torch.device | str") -> torch.nn.Module:
    """The network with its weights, ready to restore. Nothing is unpickled.

    Raises BadInput if the folder holds no model, or weights that are not this network's.
    """
    settings = load_settings(folder)
    try:
        weights = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{folder / WEIGHTS} holds no weights: {error}") from error
    # Shapes are compared before anything of the size that model.json claims is allocated.
    with torch.device("meta"):
        network = build(settings)
    wanted = {name: (list(weight.shape), weight.dtype) for name, weight in network.state_dict().items()}
    found = {name: (list(weight.shape), weight.dtype) for name, weight in weights.items()}
    if found != wanted:
        name = next(name for name in sorted(found | wanted) if found.get(name) != wanted.get(name))
        raise BadInput(
            f"{folder / WEIGHTS} has {name} {found.get(name, 'nowhere')}, but {SETTINGS} wants "
            f"{wanted.get(name, 'no such tensor')}"
        )
    if not all(weight.isfinite().all() for weight in weights.values()):
        raise BadInput(f"{folder / WEIGHTS} has weights that are not finite")
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False).to(device)


def load_settings(folder: Path) -> params.Network:
    """What model.json says. Raises BadInput if there is none or it is not valid."""
    path = folder / SETTINGS
    try:
        recorded = json.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {error}") from error
    return params.check(params.AnyNetwork, recorded, str(path)).root
