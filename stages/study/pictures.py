"""The figures of the study: reports/study/figures/."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas
import typer
from matplotlib.figure import Figure

from domain_denoiser import layout
from domain_denoiser.base import atomic, one_writer
from domain_denoiser.base.errors import one_sentence
from domain_denoiser.core import compute, images
from domain_denoiser.core.noisy_sets import level_file
from domain_denoiser.evaluation import figures, tables
from domain_denoiser.networks import stored
from domain_denoiser.study import figures as study_figures
from domain_denoiser.study import noise_levels
from domain_denoiser.study import params as study_params
from domain_denoiser.study import tables as study_tables

SHOWN = 10  # digits


def main(
    folders: Annotated[list[Path], typer.Argument(help="The models' folders.")],
    dense: Annotated[list[str], typer.Option(help="Models whose first layer sees the whole image.")],
) -> None:
    study = study_params.read(Path("study/params.yaml"))
    device = compute.prepare(study.compute)
    sigma = study.domains.sigma
    networks = {folder.name: stored.load(folder, device) for folder in folders}
    clean = images.load(noise_levels.FOLDER / noise_levels.CLEAN)
    noisy = images.load(noise_levels.FOLDER / level_file("test", sigma))

    def restored(name: str, chosen: list[int]) -> np.ndarray:
        return images.stored(networks[name](images.to_float(noisy[chosen], device)).clamp(0.0, 1.0), np.uint8)

    levels = pandas.read_csv(study_tables.FOLDER / "levels.csv")
    save(study_figures.psnr_against_noise(levels, list(networks)), "psnr_against_noise.png")
    save(study_figures.domains(pandas.read_csv(study_tables.FOLDER / "domains.csv"), sigma), "domains.png")

    labels = images.load_array(layout.clean_labels("test"))[: len(clean)]
    first = figures.first_of_each(labels)
    rows = {"original": clean[first], "noisy": noisy[first]} | {name: restored(name, first) for name in networks}
    save(study_figures.grid(rows, f"The same digits through every model, σ = {sigma:g}"), "digits.png")

    failures = {}
    for name in networks:
        table = tables.load(study_tables.FOLDER / "evaluation" / f"{name}.csv")
        psnr_db = study_tables.by_level(table)[sigma]
        chosen = np.argsort(psnr_db, kind="stable")[:SHOWN].tolist()
        failures[name] = (clean[chosen], noisy[chosen], restored(name, chosen), psnr_db[chosen])
    save(study_figures.worst(failures, f"The digits that each model restores worst, σ = {sigma:g}"), "worst.png")

    encoders = {name: networks[name].encoder.weight.detach().cpu().numpy().reshape(-1, 28, 28) for name in dense}
    title = "Weights of the 36 strongest hidden units"
    save(study_figures.encoder_weights(encoders, 36, title), "encoder_weights.png")


def save(figure: Figure, name: str) -> None:
    with atomic.file(study_tables.FOLDER / "figures" / name) as temporary:
        figures.save(figure, temporary)


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
