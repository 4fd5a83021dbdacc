"""`denoise sync`: the tracking store is made to agree with dvc.lock, of the working directory or of commits."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from domain_denoiser import champion, lineage, records, registry, revisions, tracking
from domain_denoiser.contents import Contents
from domain_denoiser.errors import BadInput
from domain_denoiser.lineage import Stage
from domain_denoiser.params import parse
from domain_denoiser.tracking import Outcome, Store

NAMES_IN_A_TAG = 100  # MLflow takes 8,000 characters a tag


class History(NamedTuple):
    """Which trainings git knows, by key."""

    stages: Mapping[str, Stage]
    commits: Mapping[str, list[str]]  # the commits whose dvc.lock has it, oldest first
    experiments: Mapping[str, list[str]]  # the names of the DVC experiments whose dvc.lock has it
    unreadable: tuple[str, ...]  # a sentence for each commit whose dvc.lock is none


class Synced(NamedTuple):
    """What a sync found and did."""

    outcomes: tuple[Outcome, ...]
    missing: tuple[str, ...]  # recorded, but to be found neither here nor in the cache nor in git
    retagged: tuple[str, ...]  # other runs whose commits or experiments changed
    closed: tuple[str, ...]  # runs whose process is dead
    registered: tuple[str, ...]  # what changed in the model registry

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
        lines += [f"registry: {said}" for said in self.registered]
        lines += [f"closed, its process is dead: {run}" for run in self.closed]
        return "\n".join(lines) or "dvc.lock has no training yet: run `make repro`"


def merged(parts: Iterable[Synced]) -> Synced:
    """All that several syncs found and did, each thing once."""
    parts = list(parts)
    return Synced(
        *(tuple(dict.fromkeys(said for part in parts for said in part[i])) for i in range(len(Synced._fields)))
    )


def publish_workspace(store: Store, stages: Mapping[str, Stage], history: History) -> Synced:
    """Publish all that the stages of the working directory made."""
    return _publish(store, stages, None, history, set())


def publish_commits(store: Store, commits: Iterable[str], history: History) -> Synced:
    """Publish the runs that the dvc.lock of each commit knows; where a run has test results already, those stay."""
    parts = []
    for commit in commits:
        try:
            parts.append(_publish(store, _locked_at(commit), commit, history, set()))
        except BadInput as error:
            parts.append(Synced((), (str(error),), (), (), ()))
    return merged(parts)


def publish_champions(store: Store, history: History) -> Synced:
    """Show champion.json, its history and the gate's last candidate in the registry; their runs first."""
    promoted, present, challenger = list(champion.promoted()), champion.read(), champion.challenger()
    known = tracking.runs_by_key(store)
    absent = dict.fromkeys(made.key for made in promoted if made.key not in known and made.key in history.commits)
    newest = {key: history.commits[key][-1] for key in absent}
    runs = merged(_publish(store, _locked_at(commit), commit, history, {key}) for key, commit in newest.items())
    registered, left_out = registry.publish(store, promoted, present, challenger)
    return merged([runs, Synced((), tuple(left_out), (), (), tuple(registered))])


def retag(store: Store, history: History) -> Synced:
    """Say on every run which commits and experiments have its work, as far as this repository knows.

    A store at the project's root belongs to this repository alone, so names that are gone are taken away; on a server
    others may know more, so names are only added.
    """
    retagged = []
    for key, run in tracking.runs_by_key(store).items():
        if run.info.status == "RUNNING":  # git does not know it yet
            continue
        tags = {
            "commits": [commit[:12] for commit in history.commits.get(key, [])],
            "experiments": history.experiments.get(key, []),
        }
        for name, words in tags.items():
            others = [] if store.local else run.data.tags.get(name, "").split()
            tags[name] = " ".join(list(dict.fromkeys([*others, *words]))[-NAMES_IN_A_TAG:])
        if tracking.set_tags(store, run, tags):
            retagged.append(f"{run.info.run_name} {key[:12]}")
    return Synced((), history.unreadable, tuple(retagged), close_dead_runs(store), ())


def close_dead_runs(store: Store) -> tuple[str, ...]:
    """Mark KILLED each run that is RUNNING in the store while its process on this host is dead."""
    closed = []
    for key, run in tracking.runs_by_key(store).items():
        if run.info.status == "RUNNING" and tracking.is_dead(run.data.tags):
            tracking.end(store, run.info.run_id, "KILLED")
            closed.append(f"{run.info.run_name} {key}")
    return tuple(closed)


def all_commits() -> list[str]:
    """The commits that changed dvc.lock, oldest first: on all branches and tags, then the experiments'."""
    committed = revisions.commits_of("dvc.lock", "--branches", "--tags", "--remotes", "HEAD")
    return [*committed, *(commit for _, commit in revisions.experiments())]


def trainings(stages: Mapping[str, Stage]) -> list[Stage]:
    """Those stages that are runs."""
    return [stage for name, stage in stages.items() if name.startswith("train@")]


def read_history() -> History:
    """Look through all commits and experiments."""
    stages, commits, experiments, unreadable = {}, {}, {}, []
    for commit in all_commits():
        try:
            found = trainings(_locked_at(commit))
        except BadInput as error:
            unreadable.append(str(error))
            continue
        names = [name for name, known in revisions.experiments() if known == commit]
        for stage in found:
            stages.setdefault(stage.key, stage)
            commits.setdefault(stage.key, []).append(commit)
            experiments.setdefault(stage.key, []).extend(names)
    return History(stages, commits, experiments, tuple(unreadable))


def giving(history: History, stage: Stage) -> str | None:
    """The first commit that has just the code and the params that a training read, so that it gives it again."""
    return next((commit for commit in history.commits.get(stage.key, ()) if _gives(commit, stage)), None)


def _locked_at(commit: str) -> dict[str, Stage]:
    content = revisions.show(commit, "dvc.lock")
    return {} if content is None else lineage.locked(content, f"dvc.lock of {commit[:12]}")


def _publish(store: Store, stages: Mapping[str, Stage], commit: str | None, history: History, only: set[str]) -> Synced:
    """Publish the runs of a commit, or of the working directory if it is None; `only` these keys, or all if empty."""
    outcomes, missing = [], []
    here = revisions.head() if commit is None else commit
    contents = Contents(here)
    for record in records.gather(stages, contents.find):
        if only and record.key not in only:
            continue
        stage = stages[record.tags["stage"]]
        # The first commit that gives the work is named; until there is one, it is this tree's.
        first = giving(history, stage)
        dirty = first is None and (here is None or not _gives(here, stage))
        origin = tracking.Origin(here if first is None else first, dirty)
        outcomes.append(tracking.publish(store, record, origin, {}, with_model=True, replace=commit is None))
        missing += [f"{record.model} {record.key[:12]}: {path}" for path in record.missing]
    return Synced(tuple(outcomes), tuple(missing), (), (), ())


def _gives(commit: str, stage: Stage) -> bool:
    for path, md5 in stage.deps.items():
        content = revisions.show(commit, path)
        if content is None and not path.startswith("data/"):  # datasets are DVC's, everything else must be in git
            return False
        if content is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
            return False
    content = revisions.show(commit, "params.yaml")
    try:
        values = {} if content is None else parse(content, f"params.yaml of {commit[:12]}")
    except BadInput:
        return False
    return all(lineage.param(values, key) == value for key, value in stage.params.items())
