"""A classifier of digits, trained on clean digits only: models/study/classifier/."""

from pathlib import Path

import pandas
import torch
import typer

from domain_denoiser import layout, params
from domain_denoiser.base import one_writer, progress
from domain_denoiser.base.errors import one_sentence
from domain_denoiser.core import compute, images
from domain_denoiser.core.seeds import generator
from domain_denoiser.study import classifier, stored_weights
from domain_denoiser.study import params as study_params
from domain_denoiser.study import tables as study_tables
from domain_denoiser.training.initialisation import initialise

FOLDER = layout.STUDY_MODELS / "classifier"


def main() -> None:
    read = params.read(Path("params.yaml"))
    study = study_params.read(Path("study/params.yaml"))
    device = compute.prepare(study.compute)

    def load(part: str) -> tuple[torch.Tensor, torch.Tensor]:
        labels = images.load_array(layout.clean_labels(part))
        clean = images.load(layout.clean_images(part))
        return torch.from_numpy(clean).to(device), torch.from_numpy(labels).long().to(device)

    network = classifier.DigitClassifier()
    initialise(network, "kaiming", generator("cpu", read.seed, "classifier", "initialisation"))
    fitted = classifier.fit(network.to(device), load("train"), load("val"), study.classifier, read.seed)
    epochs = study.classifier.epochs
    history = [epoch._asdict() for epoch in progress.track(fitted, epochs, "classifier", "epochs")]
    stored_weights.save(network, FOLDER)
    study_tables.save(pandas.DataFrame(history).drop(columns="network"), FOLDER / "history.csv")


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
