"""The params.yaml of a new project: a preset with what the images and the machine say filled in."""

import io
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter

from domain_denoiser import layout, params
from domain_denoiser.base import parsing, reading
from domain_denoiser.networks import architectures
from domain_denoiser.operations.init.survey import Survey

NAMES = ("photos", "documents", "small")
SMALL = "small"
LARGEST_SMALL = 64  # pixels of a side
MEASURED = "conv"  # the model whose epochs are chosen


class Filling(NamedTuple):
    """What a preset leaves open."""

    domain: params.Domain
    tile: tuple[int, int]  # height and width, pixels
    without: Collection[str]  # models that cannot take these images
    epochs: int | None  # of `conv`; None as in the preset
    train: int | None  # maximum number of tiles to train on; None as in the preset


class _Representer(RoundTripRepresenter):
    """Writes null as `null`, as people do, not as nothing."""

    def represent_none(self, data: None) -> ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(type(None), _Representer.represent_none)


def path(name: str) -> Path:
    """The file of a preset."""
    return layout.PRESETS / f"{name}.yaml"


def fitting(seen: Survey) -> str:
    """The preset for images if none is named: small if all are small and of one size, else photos."""
    sizes = {image.size for image in seen.images}
    return SMALL if len(sizes) == 1 and max(*sizes.pop()) <= LARGEST_SMALL else "photos"


def tile(name: str, preset: params.Params, seen: Survey) -> tuple[int, int]:
    """Height and width of the tiles: those of the smallest images for the preset small, else the preset's own."""
    if name != SMALL:
        return preset.data.tile[0], preset.data.tile[1]
    heights, widths = zip(*(image.size for image in seen.images))
    return min(LARGEST_SMALL, *heights), min(LARGEST_SMALL, *widths)


def unfit(preset: params.Params, size: tuple[int, int], where: str) -> list[str]:
    """The models of a preset whose network takes images of another size only."""
    wanted = {
        name: architectures.image_size(architectures.settings(model.network, where))
        for name, model in preset.models.items()
    }
    return [name for name, only in wanted.items() if only not in (None, size)]


def read(name: str) -> tuple[str, params.Params]:
    """A preset as text and as params. Raises BadInput if it is missing or not valid."""
    content = reading.content(path(name), reading.LARGEST_TEXT).decode("utf-8", "replace")
    return content, checked(content, str(path(name)))


def checked(content: str, where: str) -> params.Params:
    """The params that a text holds. Raises BadInput, whose message starts with `where`, if they are not valid."""
    found = params.check(params.Params, parsing.parse(content.encode(), where), where)
    architectures.check_all(found.models, where)
    return found


def filled(content: str, filling: Filling) -> str:
    """The text of a preset with what it leaves open; its comments stay."""
    yaml = YAML()
    yaml.Representer, yaml.width, yaml.preserve_quotes = _Representer, 10_000, True
    values = yaml.load(content)
    values["domain"].update(filling.domain.model_dump())
    values["data"]["tile"][:] = filling.tile
    if filling.train is not None:
        values["data"]["most"]["train"] = filling.train
    for name in filling.without:
        del values["models"][name]
    if filling.epochs is not None:
        values["models"][MEASURED]["epochs"] = filling.epochs
    stream = io.StringIO()
    yaml.dump(values, stream)
    return stream.getvalue()
