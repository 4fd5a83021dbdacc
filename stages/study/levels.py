"""Noisy versions of the first test images at every noise level, the same bytes for every method."""

from pathlib import Path

import typer

from domain_denoiser import layout, params
from domain_denoiser.base import atomic, one_writer, progress
from domain_denoiser.base.errors import one_sentence
from domain_denoiser.core import images
from domain_denoiser.core.noisy_sets import level_file
from domain_denoiser.study import noise_levels
from domain_denoiser.study import params as study_params


def main() -> None:
    read = params.read(Path("params.yaml"))
    study = study_params.read(Path("study/params.yaml"))
    clean = images.load(layout.clean_images("test"))[: study.levels.images]
    sigmas = study.levels.sigmas
    with atomic.folder(noise_levels.FOLDER) as folder:
        images.save(folder / noise_levels.CLEAN, clean)
        for sigma in progress.track(sigmas, len(sigmas), "corrupt at every noise level", "sets"):
            images.save(folder / level_file("test", sigma), noise_levels.corrupt(clean, sigma, read.seed, "test"))


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
