"""The same image in two splits would be trained on and tested with: equal pixels, or nearly the same look."""

from collections.abc import Mapping, Sequence
from typing import Protocol

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
    """The difference hash of an image, uint8 [C, H, W]: 64 bits, which of 8 x 9 blocks are darker than the next.

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


def between(images: Sequence[Seen], split: Mapping[str, str]) -> tuple[str, str, bool] | None:
    """Two files of different splits with the same image, and whether its pixels are equal; None if there are none.

    split: that of each file.
    """
    first: dict[bytes, str] = {}
    for image in images:
        other = first.setdefault(image.digest, image.file)
        if split[other] != split[image.file]:
            return other, image.file, True
    looks: dict[str, dict[int, str]] = {}
    for image in images:
        if image.look is not None:
            looks.setdefault(split[image.file], {}).setdefault(image.look, image.file)
    names = sorted(looks, key=lambda name: len(looks[name]))
    for place, name in enumerate(names):
        for other in names[place + 1 :]:
            if (near := _near(looks[name], looks[other])) is not None:
                return *sorted(near), False
    return None


def _near(some: Mapping[int, str], others: Mapping[int, str]) -> tuple[str, str] | None:
    """A file of each whose hashes differ by few bits."""
    hashes, files = np.array(list(others), np.uint64), list(others.values())
    for value, file in some.items():
        distances = np.bitwise_count(hashes ^ np.uint64(value))
        at = int(distances.argmin())
        if distances[at] <= NEAR:
            return file, files[at]
    return None
