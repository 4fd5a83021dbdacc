"""A folder of image files: which there are, who is to train and who to test, and the tiles that they are cut into."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from domain_denoiser.base import reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core.seeds import derive
from domain_denoiser.formats import opening
from domain_denoiser.formats.image_file import ImageFile
from domain_denoiser.params import Images, Shares

GROUPS = "groups.csv"  # in the folder, if files belong together: columns file and group
FEWEST = 4  # groups: one for each split


class Tile(NamedTuple):
    """A part of one channel of an image."""

    file: str  # its path in the folder
    image: int  # which of the file's images
    channel: int
    top: int  # pixels
    left: int


class Cut(NamedTuple):
    """The tiles of a split."""

    folder: Path
    size: tuple[int, int]  # height and width of each, pixels
    numbers: Mapping[str, int]  # of the files of the folder, from 0
    tiles: Sequence[Tile]  # those of a file, and of an image of it, side by side

    def labels(self) -> np.ndarray:
        """The number of the file that each tile is of, uint32 [N]."""
        return np.array([self.numbers[tile.file] for tile in self.tiles], np.uint32)


def names(folder: Path) -> list[str]:
    """The image files of the folder and of those in it, by their paths there, sorted.

    Raises BadInput if there is no folder, or one without images.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder, but the images of the domain are wanted there (`dvc pull` gets them)")
    found = [path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() in opening.SUFFIXES]
    if not found:
        raise BadInput(f"{folder} has no image: files whose names end in {', '.join(opening.SUFFIXES)} are wanted")
    return sorted(path.relative_to(folder).as_posix() for path in found)


def groups(folder: Path, files: Sequence[str]) -> dict[str, str]:
    """The group of each file by groups.csv; without one, each is a group of its own. Raises BadInput if it is amiss."""
    path = folder / GROUPS
    if not path.exists():
        return {name: name for name in files}
    content = reading.content(path, reading.LARGEST_TABLE).decode("utf-8-sig", errors="replace")
    table = csv.DictReader(io.StringIO(content, newline=""))
    try:
        if not {"file", "group"} <= set(table.fieldnames or ()):
            raise BadInput(f"{path} has the columns {table.fieldnames or '(none)'}, but file and group are wanted")
        listed = {row["file"]: row["group"] for row in table}
    except csv.Error as error:
        raise BadInput(f"{path} is no table: {error}") from error
    if missing := [name for name in files if not listed.get(name)]:
        raise BadInput(f"{path} names no group of {missing[0]} ({len(missing)} files in all)")
    return {name: listed[name] for name in files}


def assigned(of: Mapping[str, str], shares: Shares, seed: int) -> dict[str, list[str]]:
    """Split -> files, sorted: each group as a whole in one split, at least one group in each, drawn by the seed.

    of: the group of each file. Raises BadInput if there are too few groups.
    """
    known = sorted(set(of.values()))
    counts = {name: max(1, round(share * len(known))) for name, share in shares.model_dump().items()}
    if len(known) < max(FEWEST, sum(counts.values()) + 1):
        raise BadInput(
            f"there are {len(known)} images or groups of images, but at least {FEWEST} are wanted: some to train on, "
            "and one each for val, gate and test"
        )
    order = np.random.default_rng(derive(seed, "split")).permutation(len(known))
    ends = np.cumsum(list(counts.values()))
    parts = dict(zip([*counts, "train"], np.split(order, ends)))
    chosen = {name: {known[index] for index in part} for name, part in parts.items()}
    return {
        name: sorted(file for file, group in of.items() if group in chosen[name])
        for name in ("train", "val", "gate", "test")
    }


def opened(path: Path) -> ImageFile:
    """An image file of 8 bits or 1. Raises BadInput for others."""
    file = opening.opened(path, None)
    if file.dtype not in (np.bool_, np.uint8):
        raise BadInput(f"{path} holds {file.dtype} values, but images of 8 bits are wanted to train on")
    return file


def planes(path: Path) -> Iterator[np.ndarray]:
    """The images of a file, each uint8 [C, H, W]. Raises BadInput as `opened`, and if the file is damaged."""
    for block in opened(path).blocks():
        grey = block * np.uint8(255) if block.dtype == np.bool_ else block
        yield from grey.transpose(0, 3, 1, 2)


def cut(folder: Path, data: Images, seed: int) -> dict[str, Cut]:
    """Split -> its tiles: those of a grid in the middle of each image, or `most` of them, drawn.

    Raises BadInput if an image is smaller than a tile, cannot be read or has not 8 bits, and as `assigned`.
    """
    files = names(folder)
    numbers = {name: number for number, name in enumerate(files)}
    found, size = {}, (data.tile[0], data.tile[1])
    for split, chosen in assigned(groups(folder, files), data.shares, seed).items():
        tiles = [tile for name in chosen for tile in _tiles(folder, name, size, split)]
        most = getattr(data.most, split)
        if len(tiles) > most:
            drawn = np.random.default_rng(derive(seed, "tiles", split)).choice(len(tiles), most, replace=False)
            tiles = [tiles[index] for index in np.sort(drawn)]
        found[split] = Cut(folder, size, numbers, tiles)
    return found


def grid(image: tuple[int, int], tile: tuple[int, int], split: str) -> tuple[list[int], list[int]]:
    """Where the rows and the columns of a split's tiles begin in an image; none if it is smaller than a tile.

    image, tile: height and width, pixels. Tiles to train on overlap by half, so that a network sees an edge at more
    places; those to test on lie side by side.
    """
    down, across = (_starts(length, side, side // 2 if split == "train" else side) for length, side in zip(image, tile))
    return down, across


def _starts(length: int, side: int, step: int) -> list[int]:
    number = (length - side) // step + 1 if length >= side else 0
    first = (length - side - step * (number - 1)) // 2
    return [first + step * place for place in range(number)]


def pixels(made: Cut) -> Iterator[np.ndarray]:
    """The tiles in parts, those of an image each: uint8 [n, H, W]. One file is read at a time."""
    height, width = made.size
    for name, of_file in groupby(made.tiles, key=lambda tile: tile.file):
        by_image = {image: list(tiles) for image, tiles in groupby(of_file, key=lambda tile: tile.image)}
        for number, image in enumerate(planes(made.folder / name)):
            if tiles := by_image.get(number):
                yield np.stack([image[t.channel, t.top : t.top + height, t.left : t.left + width] for t in tiles])


def _tiles(folder: Path, name: str, size: tuple[int, int], split: str) -> Iterator[Tile]:
    for image, (channels, height, width) in enumerate(_shapes(folder / name)):
        tops, lefts = grid((height, width), size, split)
        if not (tops and lefts):
            raise BadInput(
                f"{folder / name} has {width} x {height} pixels, but tiles of {size[1]} x {size[0]} are cut: leave it "
                "out, or make data.tile of params.yaml smaller"
            )
        for channel in range(channels):
            for top in tops:
                for left in lefts:
                    yield Tile(name, image, channel, top, left)


def _shapes(path: Path) -> Iterator[tuple[int, int, int]]:
    """Channels, height and width of each image of a file; of a file of one image, by its header."""
    file = opened(path)
    if file.images == 1:
        yield file.channels, *file.size
    else:
        yield from (image.shape for image in planes(path))
