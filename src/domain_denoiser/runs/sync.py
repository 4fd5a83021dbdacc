"""`denoise sync`: the tracking store is made to agree with dvc.lock, of the working directory or of commits."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from domain_denoiser import layout
from domain_denoiser.base import process_identity
from domain_denoiser.base.errors import BadInput
from domain_denoiser.runs import champion, dvc_lock, hashes, listings, mlflow_store, records, registry, revisions
from domain_denoiser.runs.cache import Contents
from domain_denoiser.runs.dvc_lock import Stage
from domain_denoiser.runs.mlflow_store import Outcome, Store
from domain_denoiser.runs.records import Record

NAMES_IN_A_TAG = 100  # MLflow takes 8,000 characters a tag
NAMES_IN_A_LINE = 8
CURRENT, CHAMPION, EXPERIMENT, HISTORY = "current", "champion", "experiment", "history"  # words of the tag `state`


class History(NamedTuple):
    """Which trainings git knows, by key."""

    stages: Mapping[str, Stage]
    commits: Mapping[str, list[str]]  # the commits whose dvc.lock has it, oldest first
    experiments: Mapping[str, list[str]]  # the names of the DVC experiments whose dvc.lock has it
    unreadable: tuple[str, ...]  # a sentence for each commit whose dvc.lock is none
    gap: str | None = None  # why this may not be all of it; None if it is


NOT_READ = History({}, {}, {}, ())  # what a stage goes by: all of git would be read again and again in one reproduction


class Synced(NamedTuple):
    """What a sync found and did."""

    outcomes: tuple[Outcome, ...] = ()
    missing: tuple[str, ...] = ()  # recorded, but to be found neither here nor in the cache nor in git
    unreadable: tuple[str, ...] = ()  # commits whose results this version cannot read, a sentence each
    retagged: tuple[str, ...] = ()  # other runs whose commits, experiments, state or name changed
    history: tuple[str, ...] = ()  # runs that were of this state, and are no longer
    closed: tuple[str, ...] = ()  # runs whose process is dead
    registered: tuple[str, ...] = ()  # what changed in the model registry

    @property
    def contradictions(self) -> list[str]:
        """Nondeterminism, a sentence each."""
        return [said for outcome in self.outcomes for said in outcome.contradictions]

    @property
    def elsewhere(self) -> list[str]:
        """What another kind of machine gave otherwise, a sentence each."""
        return [said for outcome in self.outcomes for said in outcome.elsewhere]

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return {**self._asdict(), "outcomes": [outcome._asdict() for outcome in self.outcomes]}

    def as_table(self) -> str:
        """A line a run, then whatever else there is to say."""
        lines = [
            f"{outcome.model:<12} {outcome.key[:12]}  {', '.join(outcome.did) or 'unchanged'}"
            for outcome in self.outcomes
        ]
        lines += [f"not to be found any more: {run}: {', '.join(paths)}" for run, paths in self._missing_of()]
        lines += [f"left out: {said}" for said in self.unreadable]
        lines += [f"left out: {said}" for outcome in self.outcomes for said in outcome.left_out]
        lines += [f"another kind of machine: {said}" for said in self.elsewhere]
        lines += [f"not deterministic: {said}" for said in self.contradictions]
        if self.retagged:
            lines.append(f"tags or names changed: {_some(self.retagged)}")
        if self.history:
            lines.append(
                f"history now: {_some(self.history)}; `tags.state != 'history'` in MLflow's search box hides it"
            )
        lines += [f"registry: {said}" for said in self.registered]
        lines += [f"closed, its process is dead: {run}" for run in self.closed]
        return "\n".join(lines) or "dvc.lock has no training yet: run `make repro`"

    def _missing_of(self) -> list[tuple[str, list[str]]]:
        found = {}
        for said in self.missing:
            run, _, path = said.partition(": ")
            found.setdefault(run, []).append(path)
        return list(found.items())


def _some(names: Sequence[str]) -> str:
    """Names in one line, however many there are."""
    shown = ", ".join(names[:NAMES_IN_A_LINE])
    return shown if len(names) <= NAMES_IN_A_LINE else f"{shown} and {len(names) - NAMES_IN_A_LINE} more"


def merged(parts: Iterable[Synced]) -> Synced:
    """All that several syncs found and did, each thing once."""
    parts = list(parts)
    return Synced(
        **{
            name: tuple(dict.fromkeys(said for part in parts for said in getattr(part, name)))
            for name in Synced._fields
        }
    )


def publish_workspace(store: Store, stages: Mapping[str, Stage], history: History) -> Synced:
    """Publish all that the stages of the working directory made.

    With a history that was not read, a run has the commit that is checked out, if that gives its work.
    """
    found = records.gather(stages, Contents(revisions.head()).find)
    return _publish(store, stages, found, None, history)


def publish_commits(store: Store, commits: Iterable[str], history: History) -> Synced:
    """Publish the runs that the dvc.lock of each commit knows; where a run has test results already, those stay.

    Most commits train one model anew: a training that one of them has shown whole is not looked at again in the others.
    """
    parts, whole, contents = [], set(), Contents(None)
    for commit in commits:
        try:
            stages = _locked_at(commit)
            left = [stage for stage in trainings(stages) if _work(stage, stages) not in whole]
            found = _records(stages, left, contents.of(commit))
            parts.append(_publish(store, stages, found, commit, history))
            # Of one that no commit is known to give, another of these commits may be the one.
            whole |= {
                _work(stage, stages)
                for stage, record in zip(left, found)
                if record.whole and giving(history, stage) is not None
            }
        except revisions.GitFailed:  # of one commit nothing is known, so nothing is known of what history lacks
            raise
        except BadInput as error:
            parts.append(Synced(unreadable=(str(error),)))
    return merged(parts)


def publish_champions(store: Store, history: History) -> Synced:
    """Show the champion and the gate's last candidate in the registry, their runs first; earlier champions where the
    store has their runs.
    """
    try:
        present, challenger = champion.read(), champion.challenger()
    except champion.OldForm as error:  # the other runs are worth showing
        return Synced(unreadable=(str(error),))
    shown = [model for model in (present, challenger) if model is not None]
    parts = [publish_promoted(store, model.model, model.key, model.trained, history) for model in shown]
    registered, left_out = registry.publish(store, champion.promoted(), present, challenger)
    return merged([*parts, Synced(missing=tuple(left_out), registered=tuple(registered))])


def publish_promoted(store: Store, model: str, key: str, files: Mapping[str, str], history: History) -> Synced:
    """Bring the run of a promoted model into the store, and just its weights as a logged model.

    files: path -> MD5 of model.safetensors and model.json. Where no dvc.lock at hand has its training, the run has
    nothing but these. The weights of another kind of machine than the run's are logged beside those of the run.
    """
    part, contents = Synced(), Contents(revisions.head())
    if key not in mlflow_store.runs_by_key(store):
        if key in history.commits:
            commit = history.commits[key][-1]
            stages = _locked_at(commit)
            trained = [stage for stage in trainings(stages) if stage.key == key]
            part = _publish(store, stages, _records(stages, trained, contents.of(commit)), commit, history)
        else:
            record = records.of_files(model, key, files, contents.find)
            if not record.weights:
                return part
            outcome = mlflow_store.publish(
                store, record, mlflow_store.Origin(None, False), {}, with_model=True, replace=False
            )
            part = Synced(outcomes=(outcome,))
    weights = {path.rpartition("/")[2]: contents.find(path, md5) for path, md5 in files.items()}
    run = mlflow_store.runs_by_key(store).get(key)
    if run is not None and None not in weights.values():
        try:
            with store.lock:
                mlflow_store.log_model(store, run, weights)
        except BadInput as error:  # an architecture that this code does not know, for example
            return merged([part, Synced(unreadable=(f"model {model} {key[:12]}: {error}",))])
    return part


def retag(store: Store, history: History) -> Synced:
    """Say on every run which commits and experiments have its work, as far as this repository knows.

    A store at the project's root belongs to this repository alone, so names that are gone are taken away, and the tag
    `state` says whether a run is of this state of the project; on a server others may know more, and have a state of
    their own, and where history is cut off a full clone knew more, so names are only added.
    """
    closed, retagged, gone = close_dead_runs(store), [], []
    current = {stage.key for stage in trainings(dvc_lock.current())}
    champions = _champion_keys()
    for key, run in mlflow_store.runs_by_key(store).items():
        if run.info.status == "RUNNING":  # git does not know it yet
            continue
        tags = {
            "commits": [commit[:12] for commit in history.commits.get(key, [])],
            "experiments": history.experiments.get(key, []),
        }
        for name, words in tags.items():
            others = [] if store.local and history.gap is None else run.data.tags.get(name, "").split()
            tags[name] = " ".join(list(dict.fromkeys([*others, *words]))[-NAMES_IN_A_TAG:])
        if store.local:
            tags["state"] = _state(key in current, key in champions, bool(tags["experiments"]))
        renamed = mlflow_store.rename(store, run)
        name = mlflow_store.run_name(run.data.tags.get("model", run.info.run_name), key)
        if tags.get("state") == HISTORY and run.data.tags.get("state", CURRENT) != HISTORY:
            gone.append(name)
        if mlflow_store.set_tags(store, run, tags) or renamed:
            retagged.append(name)
    return Synced(unreadable=history.unreadable, retagged=tuple(retagged), history=tuple(gone), closed=closed)


def _champion_keys() -> set[str]:
    try:
        present = champion.read()
    except champion.OldForm:
        return set()
    return set() if present is None else {present.key}


def _state(current: bool, champion: bool, experiment: bool) -> str:
    """What a run is to this state of the project: one word or more."""
    words = [word for word, holds in ((CURRENT, current), (CHAMPION, champion), (EXPERIMENT, experiment)) if holds]
    return " ".join(words) or HISTORY


def close_dead_runs(store: Store) -> tuple[str, ...]:
    """Mark KILLED each run that is RUNNING in the store while its process on this host is dead."""
    closed = []
    for key, run in mlflow_store.runs_by_key(store).items():
        if run.info.status == "RUNNING" and process_identity.is_dead(run.data.tags):
            mlflow_store.end(store, run.info.run_id, "KILLED")
            closed.append(mlflow_store.run_name(run.data.tags["model"], key))
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
    named = {}
    for name, commit in revisions.experiments():
        named.setdefault(commit, []).append(name)
    for commit in all_commits():
        try:
            found = trainings(_locked_at(commit))
        except revisions.GitFailed:
            raise
        except BadInput as error:
            unreadable.append(str(error))
            continue
        for stage in found:
            key = stage.key
            stages.setdefault(key, stage)
            commits.setdefault(key, []).append(commit)
            experiments.setdefault(key, []).extend(named.get(commit, ()))
    return History(stages, commits, experiments, tuple(unreadable), revisions.gap())


def giving(history: History, stage: Stage) -> str | None:
    """The first commit that has just the code and the params that a training read, so that it gives it again."""
    return next((commit for commit in history.commits.get(stage.key, ()) if _gives(commit, stage)), None)


@lru_cache(maxsize=2_048)  # once to read history, once to publish it
def _locked_at(commit: str) -> Mapping[str, Stage]:
    """The stages of a commit's dvc.lock, of the models that its params.yaml has."""
    content, params = revisions.show(commit, "dvc.lock"), revisions.show(commit, dvc_lock.PARAMS)
    stages = {} if content is None else dvc_lock.locked(content, f"dvc.lock of {commit[:12]}")
    if params is None or not trainings(stages):
        return stages
    return dvc_lock.of_models(stages, dvc_lock.models(params, f"{dvc_lock.PARAMS} of {commit[:12]}"))


def _records(stages: Mapping[str, Stage], trained: Sequence[Stage], contents: Contents) -> list[Record]:
    """The records of some trainings of a commit."""
    return [records.of_training(stage.name, stages, contents.find) for stage in trained]


def _work(stage: Stage, stages: Mapping[str, Stage]) -> tuple[str, frozenset, frozenset]:
    """What tells trainings apart, also where equal work gave other bytes, or a commit knows less of its noise."""
    params = records.params(stage, stage.name.partition("@")[2], stages)
    return stage.key, frozenset(stage.outs.items()), frozenset(params.items())


def _publish(
    store: Store, stages: Mapping[str, Stage], found: Sequence[Record], commit: str | None, history: History
) -> Synced:
    """Publish the runs of a commit, or of the working directory if it is None."""
    outcomes, missing = [], []
    here = revisions.head() if commit is None else commit
    for record in found:
        stage = stages[record.tags["stage"]]
        # The first commit that gives the work is named; until there is one, it is this tree's.
        first = giving(history, stage)
        dirty = first is None and (here is None or not _gives(here, stage))
        origin = mlflow_store.Origin(here if first is None else first, dirty)
        outcomes.append(mlflow_store.publish(store, record, origin, {}, with_model=True, replace=commit is None))
        missing += [f"{record.model} {record.key[:12]}: {path}" for path in record.missing]
    return Synced(outcomes=tuple(outcomes), missing=tuple(missing))


def _gives(commit: str, stage: Stage) -> bool:
    """Whether a commit has just the code and the params that a stage read."""
    if any(_md5_at(commit, path, md5) != md5 for path, md5 in stage.deps.items()):
        return False
    files = {dvc_lock.param_place(key)[0] for key in stage.params}
    values = {file: _params_at(commit, file) for file in files}

    def given(key: str) -> object:
        file, inner = dvc_lock.param_place(key)
        return dvc_lock.param(values[file], inner)

    return all(given(key) == value for key, value in stage.params.items())


def _md5_at(commit: str, path: str, read: str) -> str | None:
    """The MD5 of a file or folder of a commit, as DVC computes it; None if the commit has none.

    read: what the stage read; it is given back for what DVC keeps, not git, such as a dataset.
    """
    found = hashes.of_commit(commit, path, listings.is_folder(read))
    return read if found is None and layout.is_dataset(path) else found


def _params_at(commit: str, file: str) -> object:
    """What a params file of a commit holds; None if there is none, or it is none."""
    content = revisions.show(commit, file)
    try:
        return None if content is None else dvc_lock.params_values(content, file)
    except BadInput:
        return None
