"""MNIST, checked and split: data/clean/{train,val,gate,test}_{images,labels}.npy."""

from pathlib import Path

import typer

from domain_denoiser import atomic, datasets, images, params, progress, writer
from domain_denoiser.errors import one_sentence


def main() -> None:
    read = params.read(Path("params.yaml"))
    train, test = datasets.obtain(read.data, progress.line)
    parts = datasets.split(train, read.data.split, read.seed) | {"test": test}
    with atomic.folder(Path("data/clean")) as folder:
        for name, part in parts.items():
            images.save(folder / f"{name}_images.npy", part.images)
            images.save(folder / f"{name}_labels.npy", part.labels)
            progress.line(f"{name}: {len(part.images)} images")


if __name__ == "__main__":
    with one_sentence(), writer.alone():
        typer.run(main)
