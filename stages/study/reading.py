"""The accuracy of the classifier on clean, noisy and restored test images: reports/study/accuracy.csv."""

from pathlib import Path
from typing import Annotated

import pandas
import torch
import typer
from torch import Tensor

from domain_denoiser import layout, params
from domain_denoiser.base import one_writer, progress
from domain_denoiser.base.errors import one_sentence
from domain_denoiser.core import compute, images
from domain_denoiser.core.noisy_sets import level_file, load_levels
from domain_denoiser.evaluation.baselines import NOISY, unrestored
from domain_denoiser.networks import stored
from domain_denoiser.study import classifier, stored_weights
from domain_denoiser.study import params as study_params
from domain_denoiser.study import tables as study_tables

NOISY_FOLDER = layout.NOISE_LEVELS


def main(folders: Annotated[list[Path], typer.Argument(help="The models' folders.")]) -> None:
    read = params.read(Path("params.yaml"))
    study = study_params.read(Path("study/params.yaml"))
    device = compute.prepare(study.compute)
    network = classifier.DigitClassifier()
    stored_weights.load(network, layout.STUDY_MODELS / "classifier")
    network.to(device)
    digits = torch.from_numpy(images.load_array(layout.clean_labels("test"))).long().to(device)

    def row(name: str, sigma: float, shown: Tensor) -> dict[str, str | int | float]:
        right = (classifier.classify(network, shown) == digits).double().cpu().numpy()
        share = study_tables.mean(right, read.seed)
        return {"images": name, "sigma": sigma, "digits": len(right), "accuracy": share.mean} | {
            "low": share.low,
            "high": share.high,
        }

    rows = [row("clean", 0.0, images.to_float(images.load(layout.clean_images("test")), device))]
    restorers = {NOISY: unrestored} | {folder.name: stored.load(folder, device) for folder in folders}
    levels = load_levels(NOISY_FOLDER)
    for sigma in progress.track(levels, len(levels), "classify digits", "noise levels"):
        noisy = images.to_float(images.load(NOISY_FOLDER / level_file("test", sigma)), device)
        for name, restore in restorers.items():
            restored = torch.cat([restore(part).clamp(0.0, 1.0) for part in noisy.split(classifier.BATCH)])
            rows.append(row(name, sigma, restored))
    study_tables.save(pandas.DataFrame(rows), study_tables.FOLDER / "accuracy.csv")


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
