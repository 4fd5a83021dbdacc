"""Clean images, split: data/clean/{train,val,gate,test}_{images,labels}.npy. MNIST's, or those of a folder."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import typer

from domain_denoiser import layout, params
from domain_denoiser.base import atomic, one_writer, progress
from domain_denoiser.base.errors import one_sentence
from domain_denoiser.core import images
from domain_denoiser.data import folders, sources


def main() -> None:
    read = params.read(Path("params.yaml"))
    with atomic.folder(layout.CLEAN) as folder:
        parts = mnist(read.data, read.seed) if isinstance(read.data, params.Idx) else tiles(read.data, read.seed)
        for name, (count, pieces, labels) in parts:
            images.save_parts(folder / layout.clean_images(name).name, count, pieces)
            images.save(folder / layout.clean_labels(name).name, labels)
            progress.line(f"{name}: {count:,} images")


# The name of a split, the number of its images, the images in parts, as they will lie on disk, and a label for each.
Split = tuple[str, tuple[int, Iterator[np.ndarray], np.ndarray]]


def mnist(data: params.Idx, seed: int) -> Iterator[Split]:
    """Labels are digits."""
    given = sources.read(Path(data.origin))
    train, test = sources.obtain(given, f"the sources of {data.origin}", progress.line)
    for name, part in (sources.split(train, data.split, seed) | {"test": test}).items():
        yield name, (len(part.images), iter([part.images]), part.labels)


def tiles(data: params.Images, seed: int) -> Iterator[Split]:
    """Labels are the numbers of the files, in the order of their names."""
    for name, cut in folders.cut(Path(data.origin), data, seed).items():
        yield name, (len(cut.tiles), folders.pixels(cut), cut.labels())


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
