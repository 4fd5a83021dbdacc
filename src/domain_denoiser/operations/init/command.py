"""What `denoise init` does: look, plan, say it, and make the clone the project of these images."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from domain_denoiser.base import progress
from domain_denoiser.base.errors import BadInput, printable
from domain_denoiser.data import folders, listing
from domain_denoiser.data.listing import Folder
from domain_denoiser.operations.init import applying, presets, refusals, speed, standing
from domain_denoiser.operations.init import paired as pairing
from domain_denoiser.operations.init import survey as surveying
from domain_denoiser.operations.init.paired import Paired
from domain_denoiser.operations.init.survey import Survey
from domain_denoiser.operations.inspecting.command import COLOURS, TYPES, shares
from domain_denoiser.operations.restoring.command import counted
from domain_denoiser.params import Domain, Params

MOST_EPOCHS = 100_000  # as params.Training has it
MADE = "params.yaml of this domain"
LONGEST = 150  # characters of the folder's name in a sentence
ONLY_SMALL = "as the network of the post takes grey images of 28 x 28 only"
FEW_EPOCHS = 10  # fewer show the way from a folder to restored images, and no more
BRIGHT = 2**15  # 12 bits, as cameras have them, are far below


class Options(NamedTuple):
    """The options of `denoise init`."""

    name: str | None
    preset: str | None
    minutes: float
    dry_run: bool
    noisy: Path | None  # the folder of the noisy images of pairs


class Plan(NamedTuple):
    """What the project will be."""

    folder: Folder
    noisy: Folder | None
    params: Params
    content: str  # of params.yaml
    lines: list[str]  # about it, for people


def run(path: Path, options: Options) -> Iterator[str]:
    """Yields lines for people. Raises BadInput for what cannot be a domain, or a clone that is not clean."""
    standing.check(path)
    if options.noisy is not None:
        standing.check(options.noisy)
    planned = plan(path, options)
    yield from planned.lines
    if options.dry_run:
        yield "nothing was written, as --dry-run says"
        return
    yield from applying.apply(planned.folder, planned.noisy, planned.content)
    yield "all of it is staged; the results of the old domain are removed here, and git still has them; next:"
    yield f"  git commit -m 'The domain {planned.params.domain.name}'"
    yield "  make repro"


def plan(path: Path, options: Options) -> Plan:
    """Read all images, choose, and measure. Changes nothing. Raises BadInput for what cannot be a domain."""
    if not (math.isfinite(options.minutes) and options.minutes > 0):
        raise BadInput(f"--minutes is {options.minutes}, but a number above 0 is wanted")
    if options.preset not in (None, *presets.NAMES):
        raise BadInput(f"--preset is {options.preset!r}, but one of {', '.join(presets.NAMES)} is wanted")
    name = _name(path, options.name)
    folder = listing.listed(path)
    beside = None if options.noisy is None else pairing.beside(folder, options.noisy)
    seen = _surveyed(folder)
    paired = None if beside is None else pairing.paired((folder, seen), (beside, _surveyed(beside)))
    channels = seen.channels if paired is None else paired.channels
    preset = options.preset or presets.fitting(seen)
    text, read = presets.read(preset)
    refusals.check_sizes(folder, seen, preset, presets.least(read))
    tile = presets.tile(preset, read, seen)
    assigned = folders.assigned(folders.groups(path, folder.files), read.data.shares, read.seed)
    refusals.check_duplicates(folder, seen, {file: split for split, files in assigned.items() for file in files})
    tiles = _tiles(seen, assigned, read, tile)
    if paired is None:
        without, sigma = presets.unfit(read, tile, channels, str(presets.path(preset))), None
    else:
        without, sigma = [model for model in read.models if model != presets.MEASURED], paired.sigma
    filling = presets.Filling(_domain(name, path, seen, channels), tile, channels, without, None, None, sigma)
    rate = speed.tiles_per_second(presets.checked(presets.filled(text, filling), MADE), presets.MEASURED)
    schedule = speed.schedule(tiles["train"], rate, options.minutes, MOST_EPOCHS)
    fewer = schedule.tiles < tiles["train"]
    filling = filling._replace(epochs=schedule.epochs, train=schedule.tiles if fewer else None)
    content = presets.filled(text, filling)
    takes = f"take{'s' * (schedule.epochs == 1)} about {_time(schedule.epochs * schedule.tiles / rate)}"
    made = presets.checked(content, MADE)
    lines = [
        *_described(folder, seen),
        *_described_pairs(paired),
        *(
            f"{split}: {counted(len(files), 'file')}, "
            + counted(schedule.tiles if split == "train" else tiles[split], "tile")
            for split, files in assigned.items()
        ),
        f"preset {preset}{'' if options.preset else ', by the images'}: tiles of {tile[1]} x {tile[0]}, "
        f"levels of noise {', '.join(map(str, made.levels))} of the range",
        *_left_out(without, paired is not None),
        f"training {presets.MEASURED}: {rate:,.0f} tiles a second here, so {counted(schedule.epochs, 'epoch')} of "
        f"{counted(schedule.tiles, 'tile')} {takes}",
        *_untimed(made),
        *["so few epochs are for a look at what comes out: expect it to be worse than classical filters"]
        * (schedule.epochs < FEW_EPOCHS),
        *[f"that is fewer than the {tiles['train']} tiles there are: a greater --minutes takes more"] * fewer,
        f"domain: {name}, {filling.domain.look}",
    ]
    return Plan(folder, beside, made, content, lines)


def _surveyed(folder: Folder) -> Survey:
    with progress.counter(len(folder.files), "reading", "files") as count:
        seen = surveying.survey(folder, count)
    refusals.check_images(folder, seen)
    return seen


def _name(path: Path, name: str | None) -> str:
    """The name of the domain. Raises BadInput if it is none that params.yaml takes."""
    chosen = re.sub(r"[^a-z0-9]+", "-", path.resolve().name.lower()).strip("-") if name is None else name
    try:
        _checked(chosen, "x", "x")
    except ValidationError as error:
        rule = "a letter, then letters, digits or -, lower-case, 40 characters at most"
        way = "take another --name" if name is not None else f"--name names a domain out of {path}"
        raise BadInput(f"{chosen!r} cannot be the name of a domain ({rule}): {way}") from error
    return chosen


def _domain(name: str, path: Path, seen: Survey, channels: int) -> Domain:
    return _checked(
        name,
        f"images of {printable(path.resolve().name)[:LONGEST]}",
        f"{COLOURS[channels]}, {seen.sizes()} pixels",
    )


def _checked(name: str, images: str, look: str) -> Domain:
    return Domain(name=name, title=name, images=images, look=look, dataset=None, authors=None, licence=None)


def _tiles(seen: Survey, assigned: dict[str, list[str]], given: Params, tile: tuple[int, int]) -> dict[str, int]:
    """How many tiles each split has, as data.folders cuts them."""
    split_of = {file: split for split, files in assigned.items() for file in files}
    grids: dict[str, list[tuple[int, int]]] = {split: [] for split in assigned}
    for image in seen.images:
        grids[split_of[image.file]].append(image.grid(tile, split_of[image.file]))
    found = {}
    for split, sides in grids.items():
        most = getattr(given.data.most, split)
        if split in folders.WHOLE:
            sides = folders.kept(sides, most) if len(sides) <= most else [(1, 1)] * most
        found[split] = min(most, sum(rows * columns for rows, columns in sides))
    return found


def _described(folder: Folder, seen: Survey) -> Iterator[str]:
    types = Counter({TYPES[name]: number for name, number in seen.types.items()})
    held = f"{counted(len(seen.images), 'image')} in {counted(len(folder.files), 'file')}"
    saved = ", saved as colour" if seen.grey and any(image.channels == 3 for image in seen.images) else ""
    yield f"{held}: {shares(seen.kinds)}, {seen.sizes()}, {COLOURS[seen.channels]}{saved}, {shares(types)}"
    if seen.transparent:
        yield f"the alpha of {counted(seen.transparent, 'file')} is left out"
    if seen.bits == 16 and seen.most < BRIGHT:
        yield (
            f"values reach {seen.most:,} of 65,535 only, and noise levels are of the whole range: images that are "
            "brighter (these, and those that you restore) train better"
        )
    yield from _skipped(folder)


def _described_pairs(paired: Paired | None) -> Iterator[str]:
    if paired is not None:
        yield f"a noisy one of each: {shares(paired.seen.kinds)}, {paired.sigma} of the range apart (root mean square)"
        yield from _skipped(paired.folder)


def _skipped(folder: Folder) -> Iterator[str]:
    if folder.others:
        yield f"{counted(folder.others, 'other file')} skipped"
    if folder.links:
        yield f"{counted(folder.links, 'link')} skipped: only files are copied"


def _left_out(without: list[str], paired: bool) -> Iterator[str]:
    if without:
        why = "which the preset trains with drawn noise" if paired else ONLY_SMALL
        yield f"left out: {', '.join(without)}, {why}"


def _untimed(made: Params) -> Iterator[str]:
    """The other models, whose time is not measured."""
    others = [
        f"{name}, {counted(model.epochs, 'epoch')}" for name, model in made.models.items() if name != presets.MEASURED
    ]
    if others:
        yield f"beside it, by the preset: {'; '.join(others)}"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
