"""What the gate compares a candidate with beside the champion: the best classical filter at each noise level."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from domain_denoiser import layout
from domain_denoiser.base.errors import BadInput
from domain_denoiser.evaluation import tables
from domain_denoiser.params import Law, Uniform, check
from domain_denoiser.runs import dvc_lock
from domain_denoiser.runs.cache import Contents
from domain_denoiser.runs.dvc_lock import Stage

NO_FILTER = "no filter"  # the noisy images as they are


class Best(NamedTuple):
    """The filter with the highest mean PSNR on the gate images at a noise level; NO_FILTER if none improves them."""

    name: str
    psnr_db: np.ndarray  # of each gate image, float64 [N]


def best(
    names: Iterable[str],
    noisy: Mapping[str, np.ndarray],
    stages: Mapping[str, Stage],
    gate_images: str,
    contents: Contents,
) -> dict[str, Best]:
    """By noise level; nothing if there are no filters.

    names: of the filters; noisy: noise level -> PSNR in dB of each noisy gate image as it is, float64 [N], which the
    best filter may be below; gate_images: DVC's hash of them. Raises BadInput if dvc.lock has no such filter on these
    images, or its table is nowhere.
    """
    found = {sigma: Best(NO_FILTER, psnr_db) for sigma, psnr_db in noisy.items()} if names else {}
    for name in names:
        for sigma, psnr_db in _by_level(name, stages, gate_images, contents).items():
            if sigma not in found or psnr_db.mean() > found[sigma].psnr_db.mean():
                found[sigma] = Best(name, psnr_db)
    return found


def _by_level(name: str, stages: Mapping[str, Stage], gate_images: str, contents: Contents) -> dict[str, np.ndarray]:
    path, stage = str(layout.filtered(name)), stages.get(f"filter@{name}")
    if stage is None or stage.deps.get(str(layout.NOISE_LEVELS)) != gate_images:
        raise BadInput(f"dvc.lock has nothing of the filter {name} on these gate images: run `dvc repro`")
    content = contents.find(path, stage.outs.get(path, ""))
    if content is None:
        raise BadInput(f"{path} of dvc.lock is neither here nor in the DVC cache: `dvc pull dvc.yaml`, or `make repro`")
    rows = tables.parse(content, path, ("sigma", "image", "psnr_db"))
    return {str(float(sigma)): group["psnr_db"].to_numpy() for sigma, group in rows.groupby("sigma")}


def within(training: Stage, stages: Mapping[str, Stage], levels: Iterable[str]) -> list[str]:
    """Those noise levels above 0 that lie in what a model was trained on.

    training: the stage of the model. Raises BadInput if dvc.lock does not say what that was.
    """
    model = training.name.partition("@")[2]
    regime = dvc_lock.param(training.params.get(f"models.{model}"), "regime")
    made = stages.get(f"corrupt@{regime}")
    if made is None:
        raise BadInput(f"dvc.lock does not say which noise {model} was trained on: run `dvc repro`")
    key = f"noisy.{regime}"
    law = check(Law, made.params.get(key), f"dvc.lock: {key}").root
    low, high = (law.low, law.high) if isinstance(law, Uniform) else (law.sigma, law.sigma)
    return [sigma for sigma in levels if float(sigma) > 0.0 and low <= float(sigma) <= high]
