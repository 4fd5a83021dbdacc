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
    channels: int  # as it is saved
    grey: bool  # one channel, or three that are equal
    bits: int  # 8 or 16; 1 counts as 8
    size: tuple[int, int]  # height and width, pixels
    digest: bytes  # of its pixels: equal images have equal ones, however grey is saved
    look: int | None  # its difference hash; None if it has none

    def grid(self, size: tuple[int, int], split: str) -> tuple[int, int]:
        """How many rows and columns of tiles of a height and width it is cut into in a split."""
        tops, lefts = folders.grid(self.size, size, split)
        return len(tops), len(lefts)


@dataclass
class Survey:
    """What the files hold; kinds are by file, types by image."""

    images: list[Image] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    floats: list[str] = field(default_factory=list)  # files of neither 8 nor 16 bits, with the name of their type
    broken: list[str] = field(default_factory=list)  # a sentence on each file that cannot be read
    transparent: int = 0  # files whose alpha is left out
    most: int = 0  # the greatest value of a pixel

    @property
    def grey(self) -> bool:
        """Whether no image has colour, however it is saved."""
        return all(image.grey for image in self.images)

    @property
    def channels(self) -> int:
        """Of the tiles, 1 or 3."""
        return 1 if self.grey else 3

    @property
    def bits(self) -> int:
        """Of the tiles, 8 or 16."""
        return self.images[0].bits

    def sizes(self) -> str:
        """From which to which, width first: `150 to 200 x 70`."""
        heights, widths = zip(*(image.size for image in self.images))
        return " x ".join(" to ".join(map(str, sorted({min(each), max(each)}))) for each in (widths, heights))


def survey(folder: Folder, count: Callable[[int, int], None]) -> Survey:
    """Decode all images, one file at a time. `count` is told of each file, as `progress.counter` wants it."""
    done = Survey()
    for name in folder.files:
        path = folder.path / name
        try:
            file = opening.opened(path, None)
            if file.dtype.kind == "f":
                done.floats.append(f"{path} ({file.dtype})")
            else:
                images, most = [], done.most
                for planes in folders.planes(path):
                    images.append(_seen(name, planes))
                    most = max(most, int(planes.max()))
                done.images += images
                done.most = most
                done.kinds[file.kind] += 1
                done.types[file.dtype.name] += len(images)
                done.transparent += file.alpha
        except BadInput as error:
            done.broken.append(str(error))
        count(1, 0)
    return done


def _seen(file: str, planes: np.ndarray) -> Image:
    """planes: uint8 or uint16 [C, H, W]."""
    channels, height, width = planes.shape
    grey = folders.is_grey(planes)
    shown = planes[:1] if grey else planes
    digest = hashlib.blake2b(f"{shown.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(shown))
    bits, look = 8 * planes.itemsize, duplicates.look(shown)
    return Image(file, channels, grey, bits, (height, width), digest.digest(), look)
