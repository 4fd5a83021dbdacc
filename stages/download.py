"""MNIST, checked and split: data/clean/{train,val,gate,test}_{images,labels}.npy."""

from pathlib import Path

import typer

from domain_denoiser import layout, params
from domain_denoiser.base import atomic, one_writer, progress
from domain_denoiser.base.errors import one_sentence
from domain_denoiser.core import images
from domain_denoiser.data import sources


def main() -> None:
    read = params.read(Path("params.yaml"))
    train, test = sources.obtain(read.data, progress.line)
    parts = sources.split(train, read.data.split, read.seed) | {"test": test}
    with atomic.folder(layout.CLEAN) as folder:
        for name, part in parts.items():
            images.save(folder / layout.clean_images(name).name, part.images)
            images.save(folder / layout.clean_labels(name).name, part.labels)
            progress.line(f"{name}: {len(part.images)} images")


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
