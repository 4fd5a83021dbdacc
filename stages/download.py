"""MNIST, checked and split: data/clean/{train,val,gate,test}_{images,labels}.npy."""

from pathlib import Path

import typer

from domain_denoiser import params
from domain_denoiser.base import atomic, one_writer, progress
from domain_denoiser.base.errors import one_sentence
from domain_denoiser.core import images
from domain_denoiser.data import sources


def main() -> None:
    read = params.read(Path("params.yaml"))
    train, test = sources.obtain(read.data, progress.line)
    parts = sources.split(train, read.data.split, read.seed) | {"test": test}
    with atomic.folder(Path("data/clean")) as folder:
        for name, part in parts.items():
            images.save(folder / f"{name}_images.npy", part.images)
            images.save(folder / f"{name}_labels.npy", part.labels)
            progress.line(f"{name}: {len(part.images)} images")


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
