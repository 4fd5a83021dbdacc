"""A network that is trained for comparison: models/study/<name>/."""

from pathlib import Path
from typing import Annotated

import typer

from domain_denoiser import layout, params
from domain_denoiser.base import one_writer
from domain_denoiser.base.errors import BadInput, one_sentence
from domain_denoiser.study import params as study_params
from domain_denoiser.study import training as study_training


def main(name: Annotated[str, typer.Argument(help="A key of `networks` in study/params.yaml, or `large`.")]) -> None:
    read = params.read(Path("params.yaml"))
    study = study_params.read(Path("study/params.yaml"))
    known = study.networks | {"large": study.large}
    if name not in known:
        raise BadInput(f"study/params.yaml: networks has {', '.join(study.networks)}, but not {name!r}")
    chosen = known[name]
    regime = chosen.settings.regime
    if regime not in read.noisy:
        raise BadInput(f"study/params.yaml: {name} needs the regime {regime!r}, which params.yaml does not have")
    clean = study_training.load_clean(layout.STUDY_DOMAINS / chosen.domain, "{}.npy")
    law, place = read.noisy[regime].root, name if name == "large" else f"networks.{name}"
    key = f"study/params.yaml: {place}.settings"
    study_training.fit(layout.STUDY_MODELS / name, clean, law, chosen.settings, chosen.compute, chosen.seed, key)


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
