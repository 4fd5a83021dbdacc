"""From settings to networks: an architecture is one file of this folder, which defines its own settings."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from domain_denoiser.base.errors import BadInput
from domain_denoiser.params import Model, Name, Strict, check

if TYPE_CHECKING:
    import torch

FOLDER = Path(__file__).parent


class Settings(Strict):
    """The content of model.json that every architecture has.

    Each architecture's file defines a subclass of the same name, `IMAGE_SIZE` (height and width; None for any size) and
    `build`. It may define `reach`, so that large images can be restored in tiles. Its settings may have
    `image_channels`; without, its images are grey.
    """

    architecture: Name


def names() -> list[str]:
    """All architectures, sorted: the files of this folder that define `build`."""
    files = [path for path in FOLDER.glob("*.py") if path != Path(__file__)]
    return sorted(path.stem for path in files if "\ndef build(" in path.read_text())


def settings(values: Mapping[str, object], where: str) -> Settings:
    """The settings of a network, checked by its architecture. Raises BadInput, whose message starts with `where`."""
    return check(_module(values.get("architecture"), where).Settings, dict(values), where)


def check_all(models: Mapping[str, Model], where: str) -> None:
    """Raises BadInput if the network settings of a model are not valid for its architecture."""
    for name, model in models.items():
        settings(model.network, f"{where}: models.{name}")


def build(settings: Settings) -> "torch.nn.Module":
    """The network that the settings describe. It maps noisy to restored, both float32 [B, C, H, W]."""
    return _module(settings.architecture, "the network").build(settings)


def image_size(settings: Settings) -> tuple[int, int] | None:
    """Height and width of the images that the network accepts; None if it accepts any size."""
    return _module(settings.architecture, "the network").IMAGE_SIZE


def channels(settings: Settings) -> int:
    """How many channels the images have that the network accepts: 1 or 3."""
    return getattr(settings, "image_channels", 1)


def reach(settings: Settings) -> tuple[int, int] | None:
    """How many pixels away the network looks at most, and to which multiple tiles must be aligned; None if unknown."""
    module = _module(settings.architecture, "the network")
    return module.reach(settings) if hasattr(module, "reach") else None


def _module(name: object, where: str) -> ModuleType:
    """The module of an architecture. Imported on use, so that a change to it retrains only its own models."""
    if name not in (known := names()):
        raise BadInput(f"{where}: architecture is {name!r}, but one of {', '.join(known)} is expected")
    return import_module(f"{__package__}.{name}")
