"""Reads every image of a folder, and keeps of each what there is to compare and to say; the pixels are let go."""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from domain_denoiser.base.errors import BadInput
from domain_denoiser.data import folders
from domain_denoiser.data.listing import Folder
from domain_denoiser.formats import opening
from domain_denoiser.operations.init import duplicates


class Image(NamedTuple):
    """An image of a file."""

    file: str  # its path in the folder
    channels: int
    size: tuple[int, int]  # height and width, pixels
    digest: bytes  # of its pixels: equal images have equal ones
    look: int | None  # its difference hash; None if it has none

    def tiles(self, size: tuple[int, int], split: str) -> int:
        """How many tiles of a height and width it is cut into in a split, all channels together."""
        tops, lefts = folders.grid(self.size, size, split)
        return self.channels * len(tops) * len(lefts)


@dataclass
class Survey:
    """What the files hold; kinds are by file, types by image."""

    images: list[Image] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    deep: list[str] = field(default_factory=list)  # files of more than 8 bits, with the name of their type
    broken: list[str] = field(default_factory=list)  # a sentence on each file that cannot be read

    def sizes(self) -> str:
        """The smallest and the largest, width first."""
        both = sorted((height * width, height, width) for height, width in {image.size for image in self.images})
        return " to ".join(dict.fromkeys(f"{width} x {height}" for _, height, width in (both[0], both[-1])))


def survey(folder: Folder, count: Callable[[int, int], None]) -> Survey:
    """Decode all images, one file at a time. `count` is told of each file, as `progress.counter` wants it."""
    done = Survey()
    for name in folder.files:
        path = folder.path / name
        try:
            file = opening.opened(path, None)
            if file.dtype in (np.bool_, np.uint8):
                images = [_seen(name, planes) for planes in folders.planes(path)]
                done.images += images
                done.kinds[file.kind] += 1
                done.types[file.dtype.name] += len(images)
            else:
                done.deep.append(f"{path} ({file.dtype})")
        except BadInput as error:
            done.broken.append(str(error))
        count(1, 0)
    return done


def _seen(file: str, planes: np.ndarray) -> Image:
    """planes: uint8 [C, H, W]."""
    channels, height, width = planes.shape
    digest = hashlib.blake2b(f"{planes.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(planes))
    return Image(file, channels, (height, width), digest.digest(), duplicates.look(planes))
