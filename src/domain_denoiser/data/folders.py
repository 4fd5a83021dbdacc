"""A folder of image files: which there are, who is to train and who to test, and the tiles that they are cut into."""

import csv
import heapq
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress, groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from domain_denoiser.base import reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core.seeds import derive
from domain_denoiser.data.listing import GROUPS, listed
from domain_denoiser.formats import opening
from domain_denoiser.formats.image_file import ImageFile
from domain_denoiser.params import Images, Shares

WHOLE = ("val", "gate", "test")  # splits whose images can be put together again, to be measured as wholes


class Tile(NamedTuple):
    """A part of an image, with all its channels."""

    file: str  # its path in the folder
    image: int  # which of the file's images
    top: int  # pixels
    left: int


class Starts(NamedTuple):
    """The tiles of an image: where their rows and columns begin, pixels."""

    file: str
    image: int
    tops: list[int]
    lefts: list[int]

    def tiles(self) -> Iterator[Tile]:
        for top in self.tops:
            for left in self.lefts:
                yield Tile(self.file, self.image, top, left)


class Form(NamedTuple):
    """What all images of a domain have in common."""

    channels: int  # 1 or 3
    dtype: np.dtype  # uint8 or uint16


class Seen(NamedTuple):
    """What a file holds, by its header; of a file of several images, by reading it."""

    channels: int  # as it is saved: 1 or 3
    dtype: np.dtype  # uint8 or uint16
    sizes: tuple[tuple[int, int], ...]  # height and width of each image, pixels


class Cut(NamedTuple):
    """The tiles of a split."""

    folder: Path
    form: Form
    size: tuple[int, int]  # height and width of each, pixels
    numbers: Mapping[str, int]  # of the group of each file of the folder, from 0
    tiles: Sequence[Tile]  # those of a file, and of an image of it, side by side

    def labels(self) -> np.ndarray:
        """The number of the file, or of the group of files, that each tile is of, uint32 [N]."""
        return np.array([self.numbers[tile.file] for tile in self.tiles], np.uint32)

    def grids(self) -> np.ndarray:
        """How many rows and columns of tiles each image has, uint32 [M, 2]; of a split in WHOLE."""
        of_images = [list(tiles) for _, tiles in groupby(self.tiles, key=lambda tile: (tile.file, tile.image))]
        sides = [(len({tile.top for tile in tiles}), len({tile.left for tile in tiles})) for tiles in of_images]
        return np.array(sides, np.uint32)


def groups(folder: Path, files: Sequence[str]) -> dict[str, str]:
    """The group of each file by groups.csv; a file that it does not name is a group of its own.

    Raises BadInput if the table is amiss: not with these columns, of files that are not there, or of two minds.
    """
    path, found = folder / GROUPS, {}
    if path.exists():
        content = reading.content(path, reading.LARGEST_TABLE).decode("utf-8-sig", errors="replace")
        table = csv.DictReader(io.StringIO(content, newline=""))
        try:
            if not {"file", "group"} <= set(table.fieldnames or ()):
                raise BadInput(f"{path} has the columns {table.fieldnames or '(none)'}, but file and group are wanted")
            rows = [(row["file"] or "", (row["group"] or "").strip()) for row in table]
        except csv.Error as error:
            raise BadInput(f"{path} is no table: {error}") from error
        known = set(files)
        for name, group in rows:
            if name not in known:
                raise BadInput(f"{path} names {name!r}, but there is no such image: paths in the folder are wanted")
            if not group or found.setdefault(name, group) != group:
                raise BadInput(f"{path} gives {name} {'another group' if group else 'no group'} in one of its rows")
    taken = set(found.values())
    if clash := next((name for name in files if name not in found and name in taken), None):
        raise BadInput(f"{path} calls a group {clash}, which is a file of no group: give the group another name")
    return {name: found.get(name, name) for name in files}


def assigned(of: Mapping[str, str], shares: Shares, seed: int) -> dict[str, list[str]]:
    """Split -> files, sorted: each group as a whole in one split, at least one group in each, drawn by the seed.

    of: the group of each file. A file more or less moves few others, and none from train to gate: the champion was not
    trained on what it is measured on. Raises BadInput if there are too few groups.
    """
    known = sorted(set(of.values()), key=lambda group: (derive(seed, "split", group), group))
    counts = {name: max(1, round(getattr(shares, name) * len(known))) for name in ("gate", "val", "test")}
    fewest = sum(counts.values()) + 1
    if len(known) < fewest:
        raise BadInput(
            f"there are {len(known)} files or groups of them, but at least {fewest} are wanted ("
            + ", ".join(f"{count} for {name}" for name, count in counts.items())
            + f", and one to train on): add images, or make more groups in {GROUPS}"
        )
    ends = np.cumsum(list(counts.values()))
    parts = np.split(np.arange(len(known)), ends)
    split_of = {known[place]: name for name, part in zip([*counts, "train"], parts) for place in part}
    found: dict[str, list[str]] = {name: [] for name in ("train", "val", "gate", "test")}
    for file in sorted(of):
        found[split_of[of[file]]].append(file)
    return found


def opened(path: Path) -> ImageFile:
    """An image file of 8 or 16 bits, or 1. Raises BadInput for others."""
    file = opening.opened(path, None)
    if file.dtype not in (np.bool_, np.uint8, np.uint16):
        raise BadInput(f"{path} holds {file.dtype} values, but images of 8 or 16 bits are wanted to train on")
    return file


def planes(path: Path) -> Iterator[np.ndarray]:
    """The images of a file, each uint8 or uint16 [C, H, W]; 1 bit is black or white, alpha is left out.

    Raises BadInput as `opened`, and if the file is damaged.
    """
    for block in opened(path).blocks():
        grey = block * np.uint8(255) if block.dtype == np.bool_ else block
        yield from grey.transpose(0, 3, 1, 2)


def is_grey(image: np.ndarray) -> bool:
    """Whether an image [C, H, W] has one channel, or three that are equal."""
    return all(np.array_equal(image[0], other) for other in image[1:])


def look(path: Path) -> Seen:
    """Raises BadInput as `planes`."""
    file = opened(path)
    dtype = np.dtype(np.uint8) if file.dtype == np.bool_ else file.dtype
    sizes = [file.size] if file.images == 1 else [image.shape[1:] for image in planes(path)]
    return Seen(file.channels, dtype, tuple(sizes))


def form(files: Mapping[Path, Seen]) -> Form:
    """What the files have in common. Images that are grey but saved as colour are grey if all images are.

    Raises BadInput for the first file that has other bits than the first one, and if some are grey, others in colour.
    """
    way = "images of one kind are wanted: convert them, or sort them into two folders"
    first, dtype = next((path, seen.dtype) for path, seen in files.items())
    for path, seen in files.items():
        if seen.dtype != dtype:
            bits, others = (8 * each.itemsize for each in (seen.dtype, dtype))
            raise BadInput(f"{path} has {bits} bits, but {first} has {others}: {way}")
    coloured = next(
        (path for path, seen in files.items() if seen.channels == 3 and not all(map(is_grey, planes(path)))), None
    )
    if coloured is None:
        return Form(1, dtype)
    for path, seen in files.items():
        if seen.channels == 1:
            raise BadInput(f"{path} is grey, but {coloured} is in colour: {way}")
    return Form(3, dtype)


def cut(folder: Path, data: Images, seed: int) -> dict[str, Cut]:
    """Split -> its tiles: those of a grid in the middle of each image, or `most` of them.

    Of a split in WHOLE those in the middle of each image remain, as `kept` has it, of the others drawn ones.
    Raises BadInput if an image is smaller than a tile or cannot be read, and as `form` and `assigned`.
    """
    seen = {name: look(folder / name) for name in listed(folder).files}
    return cut_as(form({folder / name: of for name, of in seen.items()}), folder, seen, data, seed)


def cut_as(of: Form, folder: Path, seen: Mapping[str, Seen], data: Images, seed: int) -> dict[str, Cut]:
    """As `cut`, with the files of the folder looked at already, and what they have in common."""
    files = list(seen)
    of_file = groups(folder, files)
    place = {group: number for number, group in enumerate(sorted(set(of_file.values())))}
    numbers = {name: place[group] for name, group in of_file.items()}
    found, size = {}, (data.tile[0], data.tile[1])
    for split, chosen in assigned(of_file, data.shares, seed).items():
        most, draw = getattr(data.most, split), np.random.default_rng(derive(seed, "tiles", split))
        starts = [one for name in chosen for one in _starts_of(folder, name, seen[name], size, split)]
        if split in WHOLE:
            starts = _in_the_middle(starts, most, draw)
        tiles = (tile for one in starts for tile in one.tiles())
        if (count := sum(len(one.tops) * len(one.lefts) for one in starts)) > most:
            tiles = compress(tiles, _drawn(count, most, draw))
        found[split] = Cut(folder, of, size, numbers, list(tiles))
    return found


def _drawn(count: int, most: int, draw: np.random.Generator) -> np.ndarray:
    """Which of `count` things are `most` drawn ones, bool."""
    wanted = np.zeros(count, bool)
    wanted[draw.choice(count, most, replace=False)] = True
    return wanted


def kept(sides: Sequence[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """Rows and columns that remain of grids of tiles: the largest one loses a row or a column until `most` are left.

    sides: rows and columns of each, `most` grids at most: each keeps one tile at least.
    """
    left, total = list(sides), sum(rows * columns for rows, columns in sides)
    largest_first = [(-rows * columns, place) for place, (rows, columns) in enumerate(sides)]
    heapq.heapify(largest_first)
    while total > most:
        tiles, place = largest_first[0]
        rows, columns = left[place]
        left[place] = (rows - 1, columns) if rows >= columns else (rows, columns - 1)
        now = left[place][0] * left[place][1]
        total += now + tiles
        heapq.heapreplace(largest_first, (-now, place))
    return left


def _in_the_middle(made: Sequence[Starts], most: int, draw: np.random.Generator) -> list[Starts]:
    """The middle of each grid, as `kept` has it; of more than `most` images, drawn ones."""
    if len(made) > most:
        made = list(compress(made, _drawn(len(made), most, draw)))
    left = kept([(len(one.tops), len(one.lefts)) for one in made], most)
    return [
        one._replace(tops=_middle(one.tops, rows), lefts=_middle(one.lefts, columns))
        for one, (rows, columns) in zip(made, left)
    ]


def _middle(starts: list[int], number: int) -> list[int]:
    first = (len(starts) - number) // 2
    return starts[first : first + number]


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
    """The tiles in parts, those of a row of an image each: [n, H, W] if they are grey, else [n, 3, H, W].

    One file is read at a time.
    """
    height, width = made.size
    for name, of_file in groupby(made.tiles, key=lambda tile: tile.file):
        by_image = {image: list(tiles) for image, tiles in groupby(of_file, key=lambda tile: tile.image)}
        for number, image in enumerate(planes(made.folder / name)):
            shown = image[0] if made.form.channels == 1 else image
            for top, row in groupby(by_image.get(number, ()), key=lambda tile: tile.top):
                yield np.stack([shown[..., top : top + height, tile.left : tile.left + width] for tile in row])


def _starts_of(folder: Path, name: str, seen: Seen, size: tuple[int, int], split: str) -> Iterator[Starts]:
    for image, (height, width) in enumerate(seen.sizes):
        tops, lefts = grid((height, width), size, split)
        if not (tops and lefts):
            raise BadInput(
                f"{folder / name} has {width} x {height} pixels, but tiles of {size[1]} x {size[0]} are cut: leave it "
                "out, or make data.tile of params.yaml smaller"
            )
        yield Starts(name, image, tops, lefts)
