"""The params.yaml of a new project: a preset with what the images and the machine say filled in."""

import io
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from domain_denoiser import layout, params
from domain_denoiser.base import commented_yaml, parsing, reading
from domain_denoiser.networks import architectures
from domain_denoiser.operations.init.survey import Survey

NAMES = ("photos", "documents", "microscopy", "small")
PHOTOS, MICROSCOPY, SMALL = "photos", "microscopy", "small"
LARGEST_SMALL = 64  # pixels of a side
MEASURED = "conv"  # the model whose epochs are chosen
PAIRED = "paired"  # the regime of pairs
ABOUT_PAIRS = "of the pairs; sigma: root mean square of noisy - clean, in [0, 1] pixel units"
ALLOWED_LOSS_DB, GAIN_DB = 0.1, 1.0  # of the gate's rules for pairs: as the presets have them
CHANNELS = "image_channels"  # the key of a network that takes grey or colour
LEAST_SIDE = 16  # pixels of an image and of a tile, as params.Images has it


class Filling(NamedTuple):
    """What a preset leaves open."""

    domain: params.Domain
    tile: tuple[int, int]  # height and width, pixels
    channels: int  # of the images: 1 or 3
    without: Collection[str]  # models that cannot take these images
    epochs: int | None  # of `conv`; None as in the preset
    train: int | None  # maximum number of tiles to train on; None as in the preset
    given: float | None  # of pairs: the root mean square of noisy - clean; None: noise is drawn, as in the preset


def path(name: str) -> Path:
    """The file of a preset."""
    return layout.PRESETS / f"{name}.yaml"


def fitting(seen: Survey) -> str:
    """The preset for images if none is named: small if all are small and of one size, microscopy if grey of 16 bits."""
    sizes = {image.size for image in seen.images}
    if len(sizes) == 1 and max(*sizes.pop()) <= LARGEST_SMALL:
        return SMALL
    return MICROSCOPY if seen.grey and seen.bits == 16 else PHOTOS


def least(preset: params.Params) -> tuple[int, int]:
    """Height and width of the smallest tiles that a preset can have: those that training's crops fit into."""
    crop = preset.models[MEASURED].crop
    return (LEAST_SIDE, LEAST_SIDE) if crop is None else (crop, crop)


def tile(name: str, preset: params.Params, seen: Survey) -> tuple[int, int]:
    """Height and width of the tiles: those of the preset (small has 64 x 64), or of images that are smaller."""
    heights, widths = zip(*(image.size for image in seen.images))
    most = (LARGEST_SMALL, LARGEST_SMALL) if name == SMALL else preset.data.tile
    return min(most[0], *heights), min(most[1], *widths)


def unfit(preset: params.Params, size: tuple[int, int], channels: int, where: str) -> list[str]:
    """The models of a preset whose network takes images of another size, or of other channels, only."""
    networks = {
        name: architectures.settings(_of_channels(model.network, channels), where)
        for name, model in preset.models.items()
    }
    return [
        name
        for name, network in networks.items()
        if architectures.image_size(network) not in (None, size) or architectures.channels(network) != channels
    ]


def _of_channels(network: Mapping[str, object], channels: int) -> dict[str, object]:
    """The settings of a network for images of so many channels, if it has a choice."""
    return {key: channels if key == CHANNELS else value for key, value in network.items()}


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
    yaml = commented_yaml.parser()
    values = yaml.load(content)
    values["domain"].update(filling.domain.model_dump())
    values["data"]["tile"][:] = filling.tile
    if filling.train is not None:
        values["data"]["most"]["train"] = filling.train
    for name in filling.without:
        del values["models"][name]
    for model in values["models"].values():
        if CHANNELS in model:
            model[CHANNELS] = filling.channels
    if filling.epochs is not None:
        values["models"][MEASURED]["epochs"] = filling.epochs
    if filling.given is not None:
        _fill_pairs(values, filling.given)
    stream = io.StringIO()
    yaml.dump(values, stream)
    return stream.getvalue()


def _fill_pairs(values: CommentedMap, sigma: float) -> None:
    """Noise is given, at one level, where the preset draws it."""
    values["data"]["kind"] = "pairs"
    values["noisy"] = CommentedMap()  # anew, as the comments of the preset are about noise that is drawn
    for name in (PAIRED, layout.NOISE_LEVELS.name):
        values["noisy"][name] = CommentedMap({"law": "given", "sigma": sigma})
        values["noisy"][name].fa.set_flow_style()
    values.yaml_add_eol_comment(ABOUT_PAIRS, "noisy", column=29)
    values.yaml_set_comment_before_after_key(list(values)[list(values).index("noisy") + 1], before="\n")
    for model in values["models"].values():
        model.update(regime=PAIRED, noise="frozen")
    level = str(sigma)
    values["gate"].update(sigma=sigma, allowed_loss_db=_at(level, ALLOWED_LOSS_DB), floors_db=_at(level, _floor(sigma)))


def _at(level: str, value: float) -> CommentedMap:
    made = CommentedMap({DoubleQuotedScalarString(level): value})
    made.fa.set_flow_style()
    return made


def _floor(sigma: float) -> float:
    """A minimum PSNR in dB, above that of the noisy images."""
    return round(GAIN_DB - 20 * math.log10(sigma), 1)
