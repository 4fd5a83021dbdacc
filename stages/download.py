"""Clean images, split: data/clean/{train,val,gate,test}_{images,labels}.npy. MNIST's, or those of a folder.

Of pairs, the noisy images lie beside them: {train,val,gate,test}_noisy.npy. {val,gate,test}_grids.npy says which tiles
are of one image.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import typer

from domain_denoiser import layout, params
from domain_denoiser.base import atomic, one_writer, progress
from domain_denoiser.base.errors import one_sentence
from domain_denoiser.core import images
from domain_denoiser.data import folders, pairs, sources


def main() -> None:
    read = params.read(Path("params.yaml"))
    with atomic.folder(layout.CLEAN) as folder:
        for split in SPLITS[read.data.kind](read.data, read.seed):
            images.save_parts(folder / layout.clean_images(split.name).name, len(split.labels), split.clean)
            if split.noisy is not None:
                images.save_parts(folder / layout.given_noisy(split.name).name, len(split.labels), split.noisy)
            images.save(folder / layout.clean_labels(split.name).name, split.labels)
            if split.grids is not None:
                images.save(folder / layout.grids(split.name).name, split.grids)
            progress.line(f"{split.name}: {len(split.labels):,} images")


class Split(NamedTuple):
    """Images in parts, as they will lie on disk, and a label for each."""

    name: str
    clean: Iterator[np.ndarray]
    noisy: Iterator[np.ndarray] | None  # None if they are not given
    labels: np.ndarray
    grids: np.ndarray | None  # rows and columns of the tiles of each image, uint32 [M, 2]; None if not in WHOLE


def mnist(data: params.Idx, seed: int) -> Iterator[Split]:
    """Labels are digits."""
    given = sources.read(Path(data.origin))
    train, test = sources.obtain(given, f"the sources of {data.origin}", progress.line)
    for name, part in (sources.split(train, data.split, seed) | {"test": test}).items():
        grids = np.ones((len(part.labels), 2), np.uint32) if name in folders.WHOLE else None
        yield Split(name, iter([part.images]), None, part.labels, grids)


def tiles(data: params.Images, seed: int) -> Iterator[Split]:
    """Labels are the numbers of the files, in the order of their names, or of their groups."""
    for name, cut in folders.cut(Path(data.origin), data, seed).items():
        yield Split(name, folders.pixels(cut), None, cut.labels(), cut.grids() if name in folders.WHOLE else None)


def both(data: params.Pairs, seed: int) -> Iterator[Split]:
    """Labels as of `tiles`."""
    for name, (clean, noisy) in pairs.cut(Path(data.origin), data, seed).items():
        grids = clean.grids() if name in folders.WHOLE else None
        yield Split(name, folders.pixels(clean), folders.pixels(noisy), clean.labels(), grids)


SPLITS = {"idx": mnist, "images": tiles, "pairs": both}


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
