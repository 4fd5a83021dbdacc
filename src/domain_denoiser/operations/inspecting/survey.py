"""Reads files one after another, and keeps of them what there is to say: numbers alone, whatever there is of them."""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from domain_denoiser.base.errors import BadInput
from domain_denoiser.formats.image_file import ImageFile
from domain_denoiser.operations.restoring import files
from domain_denoiser.operations.restoring.command import negative
from domain_denoiser.operations.restoring.foreign import Watch
from domain_denoiser.runtime import noise_level, tiles
from domain_denoiser.runtime.denoiser import Denoiser
from domain_denoiser.runtime.noise_level import Counts
from domain_denoiser.runtime.scale import Scale

SAMPLED = 256  # images, at most, that the noise is estimated on
MIDDLE = 512  # pixels of the side of what is looked at of an image
COMPARED = 2**21  # pixels, about, that are restored to compare them with the domain
PIECE = tiles.SIDE + tiles.SIDE // 4  # pixels of the side of a piece that is restored for trial: a tile and its overlap


@dataclass
class Survey:
    """What the files hold; counters are by image, `kinds` by file."""

    watch: Watch  # is told of the images that are compared with the domain

    kinds: Counter[str] = field(default_factory=Counter)
    sizes: tuple[tuple[int, int], tuple[int, int]] | None = None  # height and width of the smallest, of the largest
    types: Counter[str] = field(default_factory=Counter)
    channels: Counter[int] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)  # a sentence on each file that cannot be read
    sampled: int = 0  # images that the noise is estimated on
    counts: Counts | None = None  # of these; None if there are none
    small: dict[Path, str] = field(default_factory=dict)  # files restored together with others, and their new suffix
    small_values: int = 0  # of these: pixels times channels
    computed: int = 0  # values that the network computes of all images in other files
    reading_s: float = 0.0  # how long it took to read these, seconds
    piece: np.ndarray | None = None  # the largest part of one of these that is restored at once, [N, H, W, C]
    held: int = 0  # bytes of the largest block of images that lies in memory at once


def survey(paths: Sequence[Path], denoiser: Denoiser, scale: Scale, count: Callable[[int, int], None]) -> Survey:
    """Read all images of the files. `count` is told of each file, as `progress.counter` wants it."""
    done = Survey(Watch(False, partial(negative, denoiser, scale)))
    chosen = evenly(paths, SAMPLED)
    share = SAMPLED // max(1, len(chosen))  # images of a file
    for path in paths:
        try:
            file = files.fitting(path, denoiser, scale)
            _add(done, file, denoiser, scale, share if path in chosen else 0, COMPARED // len(chosen))
        except BadInput as error:
            done.broken.append(str(error))
            count(1, 0)
        else:
            count(file.images, file.images - 1)
    return done


def evenly(paths: Sequence[Path], most: int) -> set[Path]:
    """At most so many of the paths, the first among them, with equal gaps."""
    return {paths[index * len(paths) // most] for index in range(most)} if len(paths) > most else set(paths)


def _add(done: Survey, file: ImageFile, denoiser: Denoiser, scale: Scale, share: int, pixels: int) -> None:
    """Add a file, of which `share` images tell the noise, and `pixels` of them whether they are of the model's domain.

    Raises BadInput if it is damaged; then nothing of it is kept.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    counted, sampled, at, findings = None, 0, 0, []
    gap = -(-file.images // share) if share else None
    side = math.isqrt(pixels // max(1, min(share, file.images)))
    noisy = file.dtype != np.bool_  # one bit has no room for noise
    piece, held, started = done.piece, done.held, time.perf_counter()
    for block in file.blocks():
        number, height, width, _ = block.shape
        sizes[height, width] += number
        held = max(held, block.nbytes)
        wanted = [] if gap is None else [index for index in range(number) if (at + index) % gap == 0]
        for index in wanted:
            one = block[index : index + 1]
            if noisy:
                more = noise_level.counts(scale.to_unit(one[0, *_middle(one, MIDDLE)].transpose(2, 0, 1)))
                counted = more if counted is None else counted.with_more(more)
            if denoiser.profile is not None:
                part = one if denoiser.size else one[:, *_middle(one, side)]
                findings += denoiser.judged(part, scale).findings
        sampled, at = sampled + len(wanted) * noisy, at + number
        piece = _larger(piece, block)
    in_all = sum(height * width * number for (height, width), number in sizes.items())
    values = file.channels * in_all
    if file.images == 1 and values <= files.BATCH:
        done.small[file.path] = file.suffix
        done.small_values += values
    else:
        done.computed, done.piece = done.computed + max(file.channels, denoiser.channels) * in_all, piece
        done.reading_s += time.perf_counter() - started
    done.held = held
    done.kinds[file.kind] += 1
    done.types[file.dtype.name] += file.images
    done.channels[file.channels] += file.images
    both = sorted([*sizes, *(done.sizes or ())], key=lambda size: (size[0] * size[1], size))
    done.sizes = (both[0], both[-1])
    done.watch.see(file.path, 0, findings)
    if counted is not None:
        done.sampled += sampled
        done.counts = counted if done.counts is None else done.counts.with_more(counted)


def _middle(images: np.ndarray, side: int) -> tuple[slice, slice]:
    """The rows and columns of the middle of images [N, H, W, C], `side` of each at most."""
    top, left = (max(0, (length - side) // 2) for length in images.shape[1:3])
    return slice(top, top + side), slice(left, left + side)


def _larger(piece: np.ndarray | None, block: np.ndarray) -> np.ndarray:
    """`piece`, or about as much of the block as is restored at once, if that is more."""
    height, width = (min(side, PIECE) for side in block.shape[1:3])
    number = min(len(block), max(1, files.BATCH // (height * width)))
    if piece is not None and piece.size >= number * height * width * block.shape[-1]:
        return piece
    return block[:number, :height, :width].copy()
