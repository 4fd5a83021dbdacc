"""A model of params.yaml trained with another seed: models/study/<model>-<seed>/."""

from pathlib import Path
from typing import Annotated

import typer

from domain_denoiser import layout, params
from domain_denoiser.base import one_writer
from domain_denoiser.base.errors import BadInput, one_sentence
from domain_denoiser.study import params as study_params
from domain_denoiser.study import training as study_training


def main(
    name: Annotated[str, typer.Argument(help="A key of `models` in params.yaml.")],
    seed: Annotated[int, typer.Argument(help="Used instead of the seed of params.yaml.", min=0)],
) -> None:
    read = params.read(Path("params.yaml"))
    study = study_params.read(Path("study/params.yaml"))
    if name not in read.models:
        raise BadInput(f"params.yaml: models has {', '.join(read.models)}, but not {name!r}")
    settings = read.models[name]
    clean = study_training.load_clean(layout.CLEAN, "{}_images.npy")
    folder = layout.STUDY_MODELS / f"{name}-{seed}"
    regime, key = read.noisy[settings.regime].root, f"params.yaml: models.{name}"
    study_training.fit(folder, clean, regime, settings, study.compute, seed, key)


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
