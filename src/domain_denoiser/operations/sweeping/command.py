"""What `denoise sweep` does: draw the trials, run those that are not finished, and say which is the best."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from domain_denoiser.base import processes, progress
from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations import ray_cluster
from domain_denoiser.operations.sweeping import spaces, trial, tuning
from domain_denoiser.operations.sweeping.spaces import BETTER, Sweep, Trial
from domain_denoiser.operations.sweeping.trial import Given
from domain_denoiser.params import TrainingCompute
from domain_denoiser.runs import dvc_lock, mlflow_store, revisions

SAME_DATA = ("regime", "architecture")  # settings of a model that change which files its training reads


class Row(NamedTuple):
    """What has become of a trial."""

    trial: Trial
    key: str | None  # of its run; None if that is known only when it has trained
    state: str
    history: Sequence[Mapping[str, float]]
    finished: bool


class Outcome(NamedTuple):
    """What there is to say."""

    lines: list[str]
    failed: bool  # whether a trial did


def run(path: Path, address: str, workers: int | None, dry_run: bool) -> Outcome:
    """Run a sweep from the project's root, or only say what it would do.

    Raises BadInput for a sweep.yaml that is none, and if the working directory is not its commit.
    """
    sweep = spaces.read(path)
    commit = _commit(path)
    drawn = spaces.trials(sweep, str(path), revisions.show(commit, dvc_lock.PARAMS))
    lost: Mapping[str, str] = {}
    if not dry_run:
        ray_cluster.require("`denoise sweep`")
    if not dry_run and any(trial.finished(commit, one.name) is None for one in drawn):
        lost = _trained(sweep, drawn, commit, address, workers)
    table = _table(sweep, drawn, commit, lost, "not trained yet" if dry_run else "stopped by ASHA")
    lines = _lines(sweep, table)
    if len(drawn) < sweep.trials:
        lines.append(f"the spaces of {path} have no more than {len(drawn)} trials, of {sweep.trials} that it asks for")
    if not dry_run:
        lines += _best(sweep, table)
    return Outcome(lines, any(row.state.startswith("failed") for row in table))


def _commit(path: Path) -> str:
    """The commit that all trials are made from."""
    revisions.require()
    commit = revisions.head()
    changed = [] if commit is None else sorted(set(revisions.tracked(revisions.changed())) - {str(path)})
    if changed:
        raise BadInput(
            f"trials are made from the commit that is checked out, but {', '.join(changed[:3])} differ"
            f"{'s' if len(changed) == 1 else ''} from it: `git commit` or `git stash` first"
        )
    if commit is None or revisions.show(commit, dvc_lock.LOCK) is None:
        raise BadInput("no commit has a dvc.lock yet: `make repro`, and commit what it made")
    return commit


def _trained(sweep: Sweep, drawn: Sequence[Trial], commit: str, address: str, workers: int | None) -> dict[str, str]:
    computes = [one.params.compute for one in drawn]
    cpus = max(compute.threads * compute.workers for compute in computes)
    if address == ray_cluster.LOCAL:
        cores = processes.processors()
        workers = max(1, cores // cpus) if workers is None else workers
        if workers * cpus > cores:
            progress.line(
                f"note: {workers} trials at a time of {cpus} threads each, but there are {cores} cores: with fewer of "
                "either it would be faster"
            )
    project = trial.project(commit)
    given = [
        Given(
            **project,
            name=one.name,
            model=sweep.model,
            regime=one.params.models[sweep.model].regime,
            epochs=one.params.models[sweep.model].epochs,
            overrides=one.overrides(),
        )
        for one in drawn
    ]
    return tuning.run(sweep, given, cpus, max(map(_gpus, computes)), address, workers)


def _gpus(compute: TrainingCompute) -> int:
    return compute.workers if compute.device == "cuda" else 0


def _table(sweep: Sweep, drawn: Sequence[Trial], commit: str, lost: Mapping[str, str], otherwise: str) -> list[Row]:
    """A row each, in the order that they were drawn in; what git, DVC and the checkpoints say counts."""
    stage = f"train@{sweep.model}"
    planned = _planned(stage)
    rows = []
    for one in drawn:
        done = trial.finished(commit, one.name)
        if done is not None:
            key = dvc_lock.locked(revisions.show(done, dvc_lock.LOCK), f"dvc.lock of {done[:12]}")[stage].key
            rows.append(Row(one, key, "finished", trial.history(done, sweep.model), finished=True))
            continue
        said = lost.get(one.name, trial.failure(commit, one.name))
        state = otherwise if said is None else f"failed: {said}"
        key = None if planned is None else _key(planned, sweep.model, one)
        rows.append(Row(one, key, state, trial.reached(commit, one.name, sweep.model), finished=False))
    return rows


def _planned(stage: str) -> dvc_lock.Stage | None:
    """The training as it would be now; None if its data are not here."""
    from dvc.exceptions import DvcException

    try:
        return dvc_lock.pending(stage)
    except (DvcException, OSError):
        return None


def _key(planned: dvc_lock.Stage, model: str, one: Trial) -> str | None:
    """The key that the run of a trial will have; None if its settings change what other stages make."""
    own = [key.removeprefix(f"models.{model}.") for key in one.settings]
    if any(name == key and not key.startswith("compute.") or name in SAME_DATA for name, key in zip(own, one.settings)):
        return None
    values = one.params.model_dump()
    return planned._replace(params={key: dvc_lock.param(values, key) for key in planned.params}).key


def _lines(sweep: Sweep, table: Sequence[Row]) -> list[str]:
    keys = list(table[0].trial.settings)
    cells = [["trial", "run", *keys, "epochs", sweep.metric, ""]]
    for row in table:
        epochs = row.trial.params.models[sweep.model].epochs
        cells.append(
            [
                row.trial.name,
                "known when it trains" if row.key is None else mlflow_store.run_name(sweep.model, row.key),
                *map(str, row.trial.settings.values()),
                f"{len(row.history)} of {epochs}",
                f"{trial.judged(row.history, sweep.metric):.6g}" if row.history else "-",
                row.state,
            ]
        )
    widths = [max(map(len, column)) for column in zip(*cells)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]


def _best(sweep: Sweep, table: Sequence[Row]) -> list[str]:
    finished = [row for row in table if row.finished]
    if not finished:
        return ["no trial has finished"]
    best = BETTER[sweep.metric](finished, key=lambda row: trial.judged(row.history, sweep.metric))
    name = best.trial.name
    return [
        f"the best is {name}: `dvc exp apply {name}` makes it a change of params.yaml and dvc.lock",
        "`denoise sync --all-commits` brings what MLflow lacks of them",
    ]
