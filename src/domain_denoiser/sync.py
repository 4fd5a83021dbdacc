"""`denoise sync`: the tracking store is made to agree with dvc.lock, of the working directory or of commits."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ruamel.yaml import YAML

from domain_denoiser import lineage, records, revisions, tracking
from domain_denoiser.contents import Contents
from domain_denoiser.lineage import Stage
from domain_denoiser.tracking import Outcome, Store

COMMITS_IN_A_TAG = 100  # MLflow takes 8,000 characters a tag


class History(NamedTuple):
    """Which work git knows, by key."""

    commits: Mapping[str, list[str]]  # the commits whose dvc.lock has it, oldest first
    experiments: Mapping[str, list[str]]  # the names of the DVC experiments whose dvc.lock has it


class Synced(NamedTuple):
    """What a sync found and did."""

    outcomes: tuple[Outcome, ...]
    missing: tuple[str, ...]  # recorded, but to be found neither here nor in the cache nor in git
    retagged: tuple[str, ...]  # other runs whose commits or experiments changed
    closed: tuple[str, ...]  # runs whose process is dead

    @property
    def contradictions(self) -> list[str]:
        """Nondeterminism, a sentence each."""
        return [said for outcome in self.outcomes for said in outcome.contradictions]

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return {**self._asdict(), "outcomes": [outcome._asdict() for outcome in self.outcomes]}

    def as_table(self) -> str:
        """A line a run, then whatever else there is to say."""
        lines = [
            f"{outcome.model:<12} {outcome.key[:12]}  {', '.join(outcome.did) or 'unchanged'}"
            for outcome in self.outcomes
        ]
        lines += [f"not to be found any more: {path}" for path in self.missing]
        lines += [f"left out: {said}" for outcome in self.outcomes for said in outcome.left_out]
        lines += [f"not deterministic: {said}" for said in self.contradictions]
        lines += [f"tags changed: {run}" for run in self.retagged]
        lines += [f"closed, its process is dead: {run}" for run in self.closed]
        return "\n".join(lines) or "dvc.lock has no training yet: run `make repro`"


def merged(parts: Iterable[Synced]) -> Synced:
    """All that several syncs found and did, each thing once."""
    parts = list(parts)
    return Synced(
        *(tuple(dict.fromkeys(said for part in parts for said in part[i])) for i in range(len(Synced._fields)))
    )


def publish_workspace(store: Store, stages: Mapping[str, Stage]) -> Synced:
    """Publish all that the stages of the working directory made."""
    return _publish(store, stages, None, read_history())


def publish_commits(store: Store, commits: Iterable[str]) -> Synced:
    """Publish all that the dvc.lock of each commit knows."""
    history, parts = read_history(), []
    for commit in commits:
        content = revisions.show(commit, "dvc.lock")
        if content is not None:
            parts.append(_publish(store, lineage.locked(content, f"dvc.lock of {commit[:12]}"), commit, history))
    return merged(parts)


def close_dead_runs(store: Store) -> tuple[str, ...]:
    """Mark KILLED each run that is RUNNING in the store while its process on this host is dead."""
    closed = []
    for key, run in tracking.runs_by_key(store).items():
        if run.info.status == "RUNNING" and tracking.is_dead(run.data.tags):
            tracking.end(store, run.info.run_id, "KILLED")
            closed.append(f"{run.info.run_name} {key}")
    return tuple(closed)


def read_history() -> History:
    """Look through every commit that changed dvc.lock, on all branches and tags, and through all experiments."""
    commits, experiments = {}, {}
    for commit in revisions.commits_of("dvc.lock", "--branches", "--tags", "HEAD"):
        for key in _keys(commit):
            commits.setdefault(key, []).append(commit)
    for name, commit in sorted(revisions.experiment_refs().items()):
        for key in _keys(commit):
            experiments.setdefault(key, []).append(name)
            commits.setdefault(key, []).append(commit)
    return History(commits, experiments)


def _keys(commit: str) -> list[str]:
    content = revisions.show(commit, "dvc.lock")
    stages = {} if content is None else lineage.locked(content, f"dvc.lock of {commit[:12]}")
    return [stage.key for name, stage in stages.items() if name.startswith("train@")]


def _publish(store: Store, stages: Mapping[str, Stage], commit: str | None, history: History) -> Synced:
    outcomes, missing = [], []
    head = revisions.head()
    contents = Contents(head if commit is None else commit)
    dirty = commit is None and revisions.dirty(lineage.written(stages))
    for record in records.gather(stages, contents.find):
        stage = stages[record.tags["stage"]]
        giving = [known for known in history.commits.get(record.key, []) if gives(known, stage)]
        # The first commit that gives the work is named; until there is one, it is this tree's.
        origin = tracking.Origin(giving[0], False) if giving else tracking.Origin(head, dirty)
        outcomes.append(tracking.publish(store, record, origin, {}, with_model=True))
        missing += [f"{record.model} {record.key[:12]}: {path}" for path in record.missing]
    return Synced(tuple(outcomes), tuple(missing), _retag(store, history), close_dead_runs(store))


def gives(commit: str, stage: Stage) -> bool:
    """Whether a commit has just the code and the params that a stage read, so that it gives the stage's work again."""
    for path, md5 in stage.deps.items():
        content = revisions.show(commit, path)
        if content is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
            return False
    content = revisions.show(commit, "params.yaml")
    values = {} if content is None else YAML(typ="safe").load(content)
    return all(_value(values, key) == value for key, value in stage.params.items())


def _value(values: object, key: str) -> object:
    for part in key.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _retag(store: Store, history: History) -> tuple[str, ...]:
    """Say on every run which commits and experiments have its work, also on those that no longer have any."""
    retagged = []
    for key, run in tracking.runs_by_key(store).items():
        if run.info.status == "RUNNING":  # git does not know it yet
            continue
        tags = {
            "commits": " ".join(commit[:12] for commit in history.commits.get(key, [])[-COMMITS_IN_A_TAG:]),
            "experiments": " ".join(history.experiments.get(key, [])),
        }
        if tracking.set_tags(store, run, tags):
            retagged.append(f"{run.info.run_name} {key[:12]}")
    return tuple(retagged)
