"""A training into a folder: from its last checkpoint if it was interrupted; the best epoch's weights are kept."""

import csv
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel
from torch import nn

from domain_denoiser import layout
from domain_denoiser.base import atomic, progress
from domain_denoiser.base.one_writer import RUNNING
from domain_denoiser.core import compute
from domain_denoiser.networks import stored
from domain_denoiser.params import Compute, Model, Regime
from domain_denoiser.training import loop
from domain_denoiser.training.checkpoint import Checkpoint, Checkpoints, identity
from domain_denoiser.training.workers import ALONE, Group


class Task(NamedTuple):
    """What `training.fit` takes. The network has its first weights, and is on the device of the images."""

    network: nn.Module
    train: loop.Images
    val: loop.Images
    regime: Regime
    settings: Model
    seed: int


def fit(
    folder: Path,
    task: Task,
    described: BaseModel,
    on: Compute,
    tell: Callable[[dict[str, float]], None],
    group: Group = ALONE,
) -> None:
    """Write model.safetensors, model.json, history.csv and platform.json to `folder`.

    described: what model.json says; on: where `compute.prepare` has prepared to compute; tell: called with each epoch's
    row of history, those before an interruption too; group: the processes that train together, of which the first alone
    writes and tells. Raises BadInput if the training diverges; the checkpoint before it stays. Raises ValueError if
    `folder` is absolute or leads upwards.
    """
    if folder.is_absolute() or ".." in folder.parts:
        raise ValueError(f"{folder} leads out of the project: its checkpoints would not lie in {RUNNING}")
    platform = compute.describe(on)
    inputs = {"regime": task.regime, "settings": task.settings, "network": described}
    inputs = {name: value.model_dump() for name, value in inputs.items()}
    checkpoints = Checkpoints(
        RUNNING / folder, identity((*task.train, *task.val), inputs | {"seed": task.seed, "platform": platform})
    )
    checkpoint, refused = checkpoints.last()
    history, best, after = ([], {}, None) if checkpoint is None else checkpoint
    epochs = _epochs(folder, task, after, group)
    group.meet()  # each has read the checkpoint, which the first may remove soon
    if group.rank > 0:
        for _ in epochs:
            pass
        return
    for sentence in refused:
        progress.line(sentence)
    if after is not None:
        progress.line(f"{folder}: goes on after epoch {after.epoch}")
    for row in history:
        tell(row)
    highest = max((row["val_psnr_db"] for row in history), default=-math.inf)
    with progress.epochs(task.settings.epochs, str(folder), len(task.train.clean), len(history)) as show:
        for epoch in epochs:
            if epoch.val_psnr_db > highest:
                highest = epoch.val_psnr_db
                best = {name: weight.clone() for name, weight in epoch.network.state_dict().items()}
            history.append(epoch.row())
            checkpoints.save(Checkpoint(history, best, epoch.state))
            tell(history[-1])
            show(history[-1])
    stored.save(folder, best, described)
    # Not by pandas, whose import takes as long as an epoch.
    with atomic.file(folder / layout.HISTORY) as temporary, temporary.open("w", newline="") as opened:
        table = csv.DictWriter(opened, list(history[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(history)
    atomic.write_json(folder / layout.PLATFORM, platform)
    checkpoints.remove()


def _epochs(folder: Path, task: Task, after: loop.State | None, group: Group) -> Iterator[loop.Epoch]:
    try:
        yield from loop.fit(*task, after, group)
    except loop.Diverged as error:
        raise loop.Diverged(f"{folder}: {error}") from error
