"""Pairs of a clean and a noisy image: a folder of each, with files of the same names, cut at the same places."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from domain_denoiser.base.errors import BadInput
from domain_denoiser.data import folders
from domain_denoiser.data.folders import Cut
from domain_denoiser.data.listing import Folder, listed
from domain_denoiser.params import Pairs

CLEAN, NOISY = "clean", "noisy"  # the folders in a project's own
ROWS = 256  # of an image that are compared at once

Sizes = Sequence[tuple[int, int]]  # height and width of each image of a file, pixels


class Cuts(NamedTuple):
    """The tiles of a split, of clean images and of noisy ones, one by one."""

    clean: Cut
    noisy: Cut


def partners(clean: Folder, noisy: Folder) -> dict[str, str]:
    """Clean file -> noisy file: of the same path in its folder, whatever the suffix.

    Raises BadInput if one has no partner, or more than one.
    """
    of = {folder.path: _by_stem(folder) for folder in (clean, noisy)}
    for here, there in ((clean.path, noisy.path), (noisy.path, clean.path)):
        if missing := [file for stem, file in of[here].items() if stem not in of[there]]:
            have = f"and {len(missing) - 1} more have" if missing[1:] else "has"
            raise BadInput(
                f"{here / missing[0]} {have} no partner in {there}: the two images of a pair have the same path in "
                "their folders, except for the suffix: rename them, or leave those without a partner out"
            )
    return {file: of[noisy.path][stem] for stem, file in of[clean.path].items()}


def _by_stem(folder: Folder) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in folder.files:
        stem = str(PurePosixPath(file).with_suffix(""))
        if (other := found.setdefault(stem, file)) != file:
            raise BadInput(
                f"{folder.path} holds {other} and {file}, but the images of a pair are found by their names without "
                "suffix: rename one"
            )
    return found


def check_sizes(clean: Mapping[Path, Sizes], noisy: Mapping[Path, Sizes]) -> None:
    """Raises BadInput if the two files of a pair have not as many images, of the same heights and widths.

    Both mappings have the pairs in the same order.
    """
    for (one, here), (other, there) in zip(clean.items(), noisy.items(), strict=True):
        if list(here) != list(there):
            raise BadInput(
                f"{other} has {_described(there)}, but {one} has {_described(here)}: the two images of a pair show the "
                "same, pixel by pixel: leave this pair out"
            )


def _described(sizes: Sizes) -> str:
    shown = dict.fromkeys(f"{width} x {height}" for height, width in sizes)
    return (f"{len(sizes)} images of " if len(sizes) > 1 else "") + f"{', '.join(shown)} pixels"


def cut(origin: Path, data: Pairs, seed: int) -> dict[str, Cuts]:
    """Split -> its tiles, at the places where `folders.cut` has those of the clean images.

    origin: the folder of the folders CLEAN and NOISY. Raises BadInput as `folders.cut`, `partners`, `check_sizes`, and
    if clean and noisy images have not the same channels and bits.
    """
    clean, noisy = listed(origin / CLEAN), listed(origin / NOISY)
    of = partners(clean, noisy)
    seen = {name: folders.look(clean.path / name) for name in of}
    beside = {noisy.path / other: folders.look(noisy.path / other) for other in of.values()}
    here = {clean.path / name: each for name, each in seen.items()}
    check_sizes(*({path: each.sizes for path, each in some.items()} for some in (here, beside)))
    cuts = folders.cut_as(folders.form(here | beside), clean.path, seen, data, seed)
    return {split: Cuts(made, _of_partners(made, noisy.path, of)) for split, made in cuts.items()}


def _of_partners(made: Cut, folder: Path, of: Mapping[str, str]) -> Cut:
    numbers = {of[name]: number for name, number in made.numbers.items()}
    return made._replace(
        folder=folder, numbers=numbers, tiles=[tile._replace(file=of[tile.file]) for tile in made.tiles]
    )


def difference(clean: Folder, noisy: Folder, count: Callable[[int, int], None]) -> float:
    """The root mean square of noisy - clean over the pixels of all files, in [0, 1] pixel units.

    count: is told of each pair, as `progress.counter` wants it. Where one image of a pair has one channel, and the
    other three, both are grey. Raises BadInput as `folders.planes`, ValueError if they have not the same size.
    """
    total, number = 0.0, 0
    for one, other in partners(clean, noisy).items():
        for image, changed in zip(folders.planes(clean.path / one), folders.planes(noisy.path / other), strict=True):
            channels = min(len(image), len(changed))
            total += _squares(image[:channels], changed[:channels]) / channels
            number += image[0].size
        count(1, 0)
    return math.sqrt(total / number)


def _squares(clean: np.ndarray, noisy: np.ndarray) -> float:
    """The sum of the squared differences of two images [C, H, W], a few rows at a time."""
    most, total = np.iinfo(clean.dtype).max, 0.0
    for one, other in zip(clean, noisy, strict=True):
        for top in range(0, len(one), ROWS):
            apart = np.subtract(other[top : top + ROWS], one[top : top + ROWS], dtype=np.float64)
            total += float(np.square(apart / most).sum())
    return total
