"""Which network settings describe: an architecture is a file of this folder, and its settings are its own."""

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
    """What model.json keeps of a network, whatever its architecture: each file has a class of this kind, `Settings`,
    beside `IMAGE_SIZE` (height and width, None for any) and `build`.
    """

    architecture: Name


def names() -> list[str]:
    """The architectures that there are: the files of this folder that define `build`."""
    files = [path for path in FOLDER.glob("*.py") if path != Path(__file__)]
    return sorted(path.stem for path in files if "\ndef build(" in path.read_text())


def settings(values: Mapping[str, object], where: str) -> Settings:
    """The settings of a network, checked by its architecture; `where` opens the sentence of the BadInput."""
    return check(_module(values.get("architecture"), where).Settings, dict(values), where)


def check_all(models: Mapping[str, Model], where: str) -> None:
    """Raises BadInput if what a model says of its network is not what its architecture wants."""
    for name, model in models.items():
        settings(model.network, f"{where}: models.{name}")


def build(settings: Settings) -> "torch.nn.Module":
    """The network that the settings describe; it maps noisy to restored, both float32 [B, 1, H, W]."""
    return _module(settings.architecture, "the network").build(settings)


def image_size(settings: Settings) -> tuple[int, int] | None:
    """Height and width of the images that the network takes; None if it takes any."""
    return _module(settings.architecture, "the network").IMAGE_SIZE


def _module(name: object, where: str) -> ModuleType:
    """The file of an architecture, imported only when it is asked for: a change to one retrains its models alone."""
    if name not in (known := names()):
        raise BadInput(f"{where}: architecture is {name!r}, but one of {', '.join(known)} is wanted")
    return import_module(f"{__package__}.{name}")
