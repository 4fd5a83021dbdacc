"""`denoise compare`: models x noise levels of two pipeline states, with what is sure of the differences."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas

from domain_denoiser import layout
from domain_denoiser.base import parsing, reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core.seeds import derive
from domain_denoiser.evaluation import summary, tables
from domain_denoiser.evaluation.intervals import IMAGES, over, paired_difference
from domain_denoiser.runs import dvc_lock, revisions
from domain_denoiser.runs.cache import Contents
from domain_denoiser.runs.dvc_lock import Stage

WORKSPACE = "workspace"
METRICS = str(layout.METRICS)
PARAMS = Path("params.yaml")
LABELS = str(layout.clean_labels("test"))


class Side(NamedTuple):
    """One pipeline state: a commit, or the working directory."""

    name: str
    stages: Mapping[str, Stage]
    contents: Contents


class Row(NamedTuple):
    """A model at a noise level; PSNR in dB, mean over the test images. None: not there, or no per-image table."""

    model: str
    sigma: str
    before: float | None
    after: float | None
    gain: float | None
    low: float | None  # of the 95 % interval of the gain
    high: float | None


def side(revision: str) -> Side:
    """The state that a commit, branch, tag or experiment names, or the working directory for `workspace`.

    Raises BadInput if there is none or it has no dvc.lock.
    """
    if revision == WORKSPACE:
        stages = dvc_lock.workspace()
        if not stages:
            raise BadInput("the working directory has no dvc.lock with results: run `make repro`")
        values = parsing.parse(reading.content(PARAMS, reading.LARGEST_TEXT), str(PARAMS))
        return Side(WORKSPACE, _of_models(stages, values), Contents(revisions.head()))
    commit = revisions.resolve(revision)
    content = revisions.show(commit, "dvc.lock")
    if content is None:
        raise BadInput(f"{revision} has no dvc.lock")
    values = parsing.parse_recorded(revisions.show(commit, str(PARAMS)) or b"", f"{PARAMS} of {revision}")
    stages = dvc_lock.locked(content, f"dvc.lock of {revision}")
    return Side(revision, _of_models(stages, values), Contents(commit))


def _of_models(stages: Mapping[str, Stage], values: object) -> dict[str, Stage]:
    """Without those of models that params.yaml does not have any more; values: what it holds."""
    models = dvc_lock.param(values, "models")
    return dvc_lock.of_models(stages, models) if isinstance(models, Mapping) else dict(stages)


def nothing(name: str) -> Side:
    """The state before any result."""
    return Side(name, {}, Contents(None))


def compare(before: Side, after: Side) -> list[Row]:
    """A row for each model and noise level that either side has.

    Intervals pair the same images; where the noisy test images of the two sides differ, there are none. Where images
    are tiles of files, it is the files that are resampled.
    """
    means = [_means(given) for given in (before, after)]
    paired = _test_images(before) == _test_images(after)
    files = _files(after)
    models = list(dict.fromkeys(name for mean in means for name in mean))
    rows = []
    for model in models:
        by_level = [_psnr_by_level(given, model) for given in (before, after)]
        for sigma in sorted({level for mean in means for level in mean.get(model, {})}, key=float):
            values = [mean.get(model, {}).get(sigma, {}).get("psnr_db") for mean in means]
            gain = None if None in values else values[1] - values[0]
            low = high = None
            images = [table.get(float(sigma)) for table in by_level]
            if (
                paired
                and gain is not None
                and images[0] is not None
                and images[1] is not None
                and len(images[0]) == len(images[1])
                and (files is None or len(files) == len(images[0]))
            ):
                _, low, high = paired_difference(*images, derive(0, "compare", model, sigma), files)
            rows.append(Row(model, sigma, *values, gain, low, high))
    return rows


def resampled(before: Side, after: Side) -> str:
    """What the intervals of `compare` are over: images, 12 files, or 40 tiles of 1 file."""
    files = _files(after) if _test_images(before) == _test_images(after) else None
    return IMAGES if files is None or files.size == 0 else over(files)


def _files(given: Side) -> np.ndarray | None:
    """The file of each test image, [N], if they are tiles of files; empty if it is not known any more.

    Raises BadInput if the labels that dvc.lock names are none.
    """
    if not _has_tiles(given):  # of MNIST they are digits
        return None
    md5 = next((stage.deps[LABELS] for stage in given.stages.values() if LABELS in stage.deps), None)
    content = None if md5 is None else given.contents.find(LABELS, md5)
    try:
        found = np.zeros(0) if content is None else np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise BadInput(f"{LABELS} of {given.name} is not a .npy array: {error}") from error
    return found.ravel()


def _has_tiles(given: Side) -> bool:
    """Whether test images may be tiles of files, which MNIST's are not."""
    download = given.stages.get("download")
    kind = None if download is None else dvc_lock.param(download.params.get("data"), "kind")
    return kind not in (None, "idx")


def _test_images(given: Side) -> dict[str, str]:
    """Path -> MD5 of the datasets that the models were evaluated on.

    Where each image is a tile, as MNIST's are, the grids of tiles say nothing; older commits have none.
    """
    read = [stage.deps for name, stage in given.stages.items() if name.startswith("evaluate@")]
    found = {path: md5 for deps in read for path, md5 in deps.items() if layout.is_dataset(path)}
    if not _has_tiles(given):
        found.pop(str(layout.grids("test")), None)
    return found


def _means(given: Side) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
    if not given.stages:
        return {}
    summarise = given.stages.get("summarise")
    md5 = None if summarise is None else summarise.outs.get(METRICS)
    content = None if md5 is None else given.contents.find(METRICS, md5)
    if content is None:
        raise BadInput(f"{given.name} has no {METRICS} that its dvc.lock names")
    return summary.parse(content, f"{METRICS} of {given.name}")


def _psnr_by_level(given: Side, model: str) -> dict[float, object]:
    """PSNR of each image, float [N], by noise level; empty if the table is nowhere any more."""
    path = str(layout.table(model))
    for stage in given.stages.values():
        if path in stage.outs:
            content = given.contents.find(path, stage.outs[path])
            if content is not None:
                rows = tables.parse(content, path, ("sigma", "image", "psnr_db"))  # of another version, perhaps
                return {sigma: group["psnr_db"].to_numpy() for sigma, group in rows.groupby("sigma")}
    return {}


def as_text(rows: list[Row], before: str, after: str, sample: str) -> str:
    """Aligned columns for a terminal. sample: what the intervals are over, as `resampled` says it."""
    return _table(rows, before, after, sample).to_string(index=False)


def as_markdown(rows: list[Row], before: str, after: str, sample: str) -> str:
    """The same as a Markdown table."""
    table = _table(rows, before, after, sample)
    lines = [table.columns, ["---", *["---:"] * (len(table.columns) - 1)], *table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _table(rows: list[Row], before: str, after: str, sample: str) -> pandas.DataFrame:
    interval = "95 % interval" if sample == IMAGES else f"95 % interval over {sample}"
    return pandas.DataFrame(
        {
            "model": [row.model for row in rows],
            "sigma": [row.sigma for row in rows],
            f"{before} (dB)": [_number(row.before, ".2f") for row in rows],
            f"{after} (dB)": [_number(row.after, ".2f") for row in rows],
            "gain (dB)": [_number(row.gain, "+.3f") for row in rows],
            interval: ["-" if row.low is None else f"{row.low:+.3f} ... {row.high:+.3f}" for row in rows],
        }
    )


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
