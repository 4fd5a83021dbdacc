"""How far results of two kinds of machines may lie apart; docs/verify.md says how that was measured.

Equal params give equal bytes on one kind of machine only, and a model's platform.json says on which it was made.
"""

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas

from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import compute
from domain_denoiser.core.metrics import METRICS
from domain_denoiser.params import Compute

LABELS = ("model", "sigma", "image")  # must be equal
# Of the same weights on the same images: a value an image, and their means.
EVALUATED = {name: metric.tolerance for name, metric in METRICS.items()}
EVALUATED["psnr_db_global"] = EVALUATED["psnr_db"]
EVALUATED["strength"] = 0.0  # of a filter: one of a few
# Mean PSNR of a model that was trained again: in noise, and without, where what little is wrong weighs most.
# Measured in bfloat16; in float32, two kinds of machines lay apart by half of that (docs/verify.md).
RETRAINED_DB, RETRAINED_CLEAN_DB = 0.25, 1.0


def no_device(params: Compute) -> str | None:
    """Why nothing can be computed here as params.yaml wants it; None if it can."""
    if params.device == "cpu":
        return None
    import torch

    there = torch.cuda.is_available()
    return None if there else f"params.yaml: compute.device is {params.device!r}, but this machine has no CUDA device"


def all_made_here(platforms: Iterable[bytes], params: Compute) -> bool:
    """Whether each of these platform.json describes this kind of machine."""
    here = compute.describe(params)
    return all(_recorded(content) == here for content in platforms)


def _recorded(content: bytes) -> object:
    """What a platform.json says; None if it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def read(path: Path, content: bytes) -> pandas.DataFrame:
    """A per-image table, levels.csv, metrics.json or a filter's strength: a row for what was measured.

    Raises BadInput if it is none.
    """
    try:
        table = pandas.read_csv(io.BytesIO(content)) if path.suffix == ".csv" else _summary(json.loads(content))
        return table.set_index([label for label in LABELS if label in table.columns]).sort_index().astype(float)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(f"{path} holds no results: {error}") from error


def _summary(read: Mapping[str, object]) -> pandas.DataFrame:
    if "strength" in read:
        return pandas.DataFrame([{"model": "", **read}])
    return pandas.DataFrame(
        {"model": name, "sigma": sigma, **values}
        for name, levels in read["models"].items()
        for sigma, values in levels.items()
    )


def retrained_db(sigma: float) -> float:
    """How far the mean PSNR of a model that was trained again may lie from the stored one's at this noise level."""
    return RETRAINED_DB if sigma > 0.0 else RETRAINED_CLEAN_DB


def distance(stored: pandas.DataFrame, again: pandas.DataFrame) -> dict[str, float] | None:
    """The largest absolute difference of each metric; None if they do not measure the same things."""
    if not (stored.index.equals(again.index) and list(stored.columns) == list(again.columns)):
        return None
    return (stored - again).abs().max(skipna=False).to_dict()


def within(apart: Mapping[str, float]) -> bool:
    """Whether evaluations of the same weights may lie so far apart; one that is not finite never may."""
    return all(name in EVALUATED and value <= EVALUATED[name] for name, value in apart.items())


def as_text(apart: Mapping[str, float]) -> str:
    """psnr_db by 3.1e-05, ..."""
    return ", ".join(f"{name} by {value:.2g}" for name, value in apart.items())
