"""The images of one domain: data/study/domains/<domain>/{train,val,test,noisy}.npy."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from domain_denoiser import layout, params
from domain_denoiser.base import atomic, one_writer, progress
from domain_denoiser.base.errors import BadInput, one_sentence
from domain_denoiser.core import images, noisy_sets
from domain_denoiser.data import domains
from domain_denoiser.params import Constant
from domain_denoiser.study import params as study_params

OF_DIGITS = {"digits": lambda digits: digits, "upside_down": domains.upside_down, "inverted": domains.inverted}


def main(domain: Annotated[str, typer.Argument(help="A name of study_params.Domain.")]) -> None:
    read = params.read(Path("params.yaml"))
    study = study_params.read(Path("study/params.yaml"))
    parts = made(domain, study.domains.fashion, read.seed)
    parts["test"] = parts["test"][: study.domains.test_images]
    regime = Constant(law="constant", noise="gaussian", sigma=study.domains.sigma)
    parts["noisy"] = np.concatenate(list(noisy_sets.corrupt(parts["test"], regime, read.seed, "domains", domain).parts))
    with atomic.folder(layout.STUDY_DOMAINS / domain) as folder:
        for name, part in parts.items():
            images.save(folder / f"{name}.npy", part)
            progress.line(f"{domain} {name}: {len(part)} images")


def made(domain: str, fashion: study_params.Fashion, seed: int) -> dict[str, np.ndarray]:
    """The training, val and test images: as many as of digits, but Fashion-MNIST as its params split it."""
    digits = {part: images.load(layout.clean_images(part)) for part in ("train", "val", "test")}
    if domain in OF_DIGITS:
        return {part: OF_DIGITS[domain](whole) for part, whole in digits.items()}
    if domain == "letters":
        return {part: domains.letters(len(whole), seed, part) for part, whole in digits.items()}
    if domain == "fashion":
        from domain_denoiser.data import sources

        train, test = domains.fashion(fashion, "study/params.yaml's domains.fashion.sources", progress.line)
        split = sources.split(train, fashion.split, seed)
        return {"train": split["train"].images, "val": split["val"].images, "test": test.images}
    raise BadInput(f"{domain!r} is not a domain; one of {', '.join([*OF_DIGITS, 'letters', 'fashion'])} is expected")


if __name__ == "__main__":
    with one_sentence(), one_writer.alone():
        typer.run(main)
