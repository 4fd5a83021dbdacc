"""Every model in every domain, compared with the noisy input and a linear denoiser fitted there: domains.csv."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas
import typer

from domain_denoiser import layout, params
from domain_denoiser.base import one_writer, progress
from domain_denoiser.base.errors import one_sentence
from domain_denoiser.core import compute, images
from domain_denoiser.evaluation.baselines import unrestored
from domain_denoiser.evaluation.intervals import paired_difference
from domain_denoiser.evaluation.per_image import evaluate
from domain_denoiser.evaluation.wholes import ALONE
from domain_denoiser.networks import stored
from domain_denoiser.study import classical, noise_levels
from domain_denoiser.study import params as study_params
from domain_denoiser.study import tables as study_tables


def main(folders: Annotated[list[Path], typer.Argument(help="The models' folders.")]) -> None:
    read = params.read(Path("params.yaml"))
    study = study_params.read(Path("study/params.yaml"))
    device = compute.prepare(study.compute)
    models = {folder.name: stored.load(folder, device) for folder in folders}
    rows = []
    names = sorted(path.parent.name for path in layout.STUDY_DOMAINS.glob("*/test.npy"))
    for domain in progress.track(names, len(names), "transfer", "domains"):
        folder, sigma = layout.STUDY_DOMAINS / domain, study.domains.sigma
        train = images.load(folder / "train.npy")
        corrupted = noise_levels.corrupt(train, sigma, read.seed, "domains", domain)
        linear = noise_levels.on_arrays(classical.fit_linear(corrupted, train, study.linear.ridge))
        clean, noisy = (images.to_float(images.load(folder / f"{part}.npy"), device) for part in ("test", "noisy"))
        psnr_db = {
            name: evaluate(restore, noisy, clean, sigma, [ALONE] * len(clean))["psnr_db"].to_numpy()
            for name, restore in ({"noisy": unrestored, "linear": linear} | models).items()
        }
        rows += [row(name, domain, psnr_db, read.seed) for name in models]
    study_tables.save(pandas.DataFrame(rows), study_tables.FOLDER / "domains.csv")


def row(model: str, domain: str, psnr_db: dict[str, np.ndarray], seed: int) -> dict[str, str | int | float]:
    """Mean PSNR, and the gains over the noisy input and over the linear denoiser with 95 % intervals, all in dB."""
    found = {"model": model, "domain": domain, "images": len(psnr_db[model]), "psnr_db": float(psnr_db[model].mean())}
    for than in ("noisy", "linear"):
        gain = paired_difference(psnr_db[than], psnr_db[model], seed)
        found |= {f"{than}_db": float(psnr_db[than].mean()), f"gain_over_{than}_db": gain.mean}
        found |= {f"gain_over_{than}_low": gain.low, f"gain_over_{than}_high": gain.high}
    return found


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
