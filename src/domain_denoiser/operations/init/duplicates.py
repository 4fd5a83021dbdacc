"""The same image in two splits would be trained on and tested with: equal pixels, or nearly the same look."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

LEAST_SIDE = 64  # pixels; smaller images of one kind look alike
DOWN, ACROSS = 8, 9  # blocks, which 64 differences lie between
NEAR = 3  # bits that differ
LEAST_BITS = 8  # of either kind: a flat image or a ramp has fewer, and is like every other one


class Seen(Protocol):
    """What is compared of an image; `look` is what the function of that name gives."""

    file: str
    digest: bytes
    look: int | None


def look(planes: np.ndarray) -> int | None:
    """The difference hash of an image [C, H, W]: 64 bits, which of 8 x 9 blocks are darker than the next.

    None if the image is small, flat or a ramp. Source: Krawetz 2013, "Kind of Like That".
    """
    height, width = planes.shape[1:]
    if min(height, width) < LEAST_SIDE:
        return None
    rows, columns = (np.arange(number) * side // number for number, side in ((DOWN, height), (ACROSS, width)))
    # A channel at a time, so that no other array of the size of the image is made.
    sums = sum(
        np.add.reduceat(np.add.reduceat(plane, rows, axis=0, dtype=np.int64), columns, axis=1) for plane in planes
    )
    means = sums / np.diff([*columns, width])
    bits = means[:, 1:] > means[:, :-1]
    if not LEAST_BITS <= bits.sum() <= bits.size - LEAST_BITS:
        return None
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


class Pair(NamedTuple):
    """Two files of different splits with the same image."""

    one: str
    other: str
    equal: bool  # pixel by pixel


def between(images: Sequence[Seen], split: Mapping[str, str]) -> list[Pair]:
    """Each file that has the image of a file in another split, with one such file; those of equal pixels first.

    split: that of each file.
    """
    first: dict[bytes, dict[str, str]] = {}
    found: dict[frozenset[str], Pair] = {}
    for image in images:
        of_split = first.setdefault(image.digest, {})
        of_split.setdefault(split[image.file], image.file)
        if other := next((file for name, file in of_split.items() if name != split[image.file]), None):
            found.setdefault(frozenset((other, image.file)), Pair(other, image.file, True))
    looks: dict[str, dict[int, str]] = {}
    for image in images:
        if image.look is not None:
            looks.setdefault(split[image.file], {}).setdefault(image.look, image.file)
    names = sorted(looks, key=lambda name: len(looks[name]))
    for place, name in enumerate(names):
        for other in names[place + 1 :]:
            for near in _near(looks[name], looks[other]):
                found.setdefault(frozenset(near), Pair(*sorted(near), False))
    return list(found.values())


def _near(some: Mapping[int, str], others: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    """A file of each whose hashes differ by few bits."""
    hashes, files = np.array(list(others), np.uint64), list(others.values())
    for value, file in some.items():
        distances = np.bitwise_count(hashes ^ np.uint64(value))
        at = int(distances.argmin())
        if distances[at] <= NEAR:
            yield file, files[at]
