"""Noisy versions of the first test images at every noise level, the same bytes for every method."""

from pathlib import Path

import typer

from domain_denoiser import atomic, images, noise_levels, params, progress, study_params, writer
from domain_denoiser.errors import one_sentence
from domain_denoiser.noisy import level_file


def main() -> None:
    read = params.read(Path("params.yaml"))
    study = study_params.read(Path("study/params.yaml"))
    clean = images.load(Path("data/clean/test_images.npy"))[: study.levels.images]
    sigmas = study.levels.sigmas
    with atomic.folder(noise_levels.FOLDER) as folder:
        images.save(folder / noise_levels.CLEAN, clean)
        for sigma in progress.track(sigmas, len(sigmas), "corrupt at every noise level", "sets"):
            images.save(folder / level_file("test", sigma), noise_levels.corrupt(clean, sigma, read.seed, "test"))


if __name__ == "__main__":
    with one_sentence(), writer.alone():
        typer.run(main)
