"""The projection of records into MLflow: the only module that imports it.

`publish` is idempotent: it brings into the store what is missing there, and reports what contradicts it.
"""

import hashlib
import json
import os
import shlex
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock

from domain_denoiser import layout
from domain_denoiser.base import atomic, checksum, temporary
from domain_denoiser.base.errors import BadInput
from domain_denoiser.base.secrets import masked
from domain_denoiser.core.metrics import METRICS
from domain_denoiser.params import STEPS_OF_SIGMA, Domain, read_domain
from domain_denoiser.runs import addresses, dvc_lock
from domain_denoiser.runs.records import Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run
    from mlflow.models import ModelSignature

DESCRIPTION = """Denoisers of images of one domain. A run is one training: its model, and the beginning of its key.
The key follows from what the training read: command, data, code, params.

- This state and the champion, without history: search for `tags.state != 'history'` (in a project's own store).
- Charts: `val/psnr_db` against the epoch, `test/psnr_db` against the noise level (step = 10,000 x sigma).
- The best model: sort the runs by `psnr_db_0.5`, the PSNR at noise level 0.5; there is one such column for each level.
- The data of a run: its inputs, whose digests are DVC's hashes.

This store is a view: `denoise sync` rebuilds it from dvc.lock and the DVC cache."""

TRAINING = {
    "train_loss": "train/loss",
    "val_loss": "val/loss",
    "val_psnr_db": "val/psnr_db",
    "learning_rate": "train/learning_rate",
}
ELSEWHERE = "elsewhere/"  # tags, each with the MD5 of a platform.json: the files of another kind of machine


class Origin(NamedTuple):
    """Where git has the work: the commit, and whether the tree differed from it."""

    commit: str | None
    dirty: bool


class Store(NamedTuple):
    """A tracking store and what of it is the project's: an experiment and a registered model, named after the domain.

    Others in the same store belong to projects of other domains.
    """

    client: "MlflowClient"
    uri: str
    experiment: str  # its id
    local: bool  # whether it is the project's own, beside dvc.yaml
    lock: FileLock  # held while runs are looked up and written, so that equal work never makes two runs
    domain: Domain


class Differences(NamedTuple):
    """Where the store has other values from the same work: a sentence each."""

    same_kind: tuple[str, ...] = ()  # of machine: nondeterminism
    other_kind: tuple[str, ...] = ()


class Outcome(NamedTuple):
    """What `publish` found and did."""

    model: str
    key: str
    run_id: str
    did: tuple[str, ...]  # nothing: the store agreed already
    contradictions: tuple[str, ...]  # nondeterminism: other values than the store has from the same work and machine
    elsewhere: tuple[str, ...]  # other values than the store has, as another kind of machine gives them
    left_out: tuple[str, ...]  # what could not be published, and why


def connect(root: Path, retries: int, timeout_s: int) -> Store:
    """The store that MLFLOW_TRACKING_URI names, else SQLite at the project's root.

    root: of the project whose params.yaml names the domain, also for a queued experiment, which runs in a copy of it.
    retries, timeout_s: of each call to a server. Raises BadInput if params.yaml has no domain, and if the store does
    not answer or is that of a project elsewhere.
    """
    domain = read_domain(root / dvc_lock.PARAMS)
    os.environ |= {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # what fails is raised too, and said in one sentence
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it would stand in the middle of --json
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries),
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(timeout_s),
    }
    os.environ.pop("MLFLOW_RUN_ID", None)  # it would send everything into one run
    import mlflow
    from mlflow.tracking import MlflowClient

    own = f"sqlite:///{root / 'mlflow.db'}"
    uri = os.environ.get("MLFLOW_TRACKING_URI") or own
    addresses.check(uri)
    mlflow.set_tracking_uri(uri)
    # A server keeps artifacts itself; beside SQLite they lie at the root, or they would follow the working directory.
    artifacts = (root / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None
    name = hashlib.sha256(masked(uri).encode()).hexdigest()[:16]  # seen by everybody on this machine
    lock = FileLock(Path(tempfile.gettempdir()) / f"domain-denoiser-{os.getuid()}-{name}.lock")
    # Processes that meet a fresh SQLite store at once would collide in its migrations.
    with lock, _one_sentence(uri):
        _ask_database(uri, min(timeout_s, 10))
        _make_whole(uri)
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(domain.experiment)
        if found is None:
            tags = {"mlflow.note.content": DESCRIPTION}
            created = _create_experiment(client, domain.experiment, artifacts, tags)
            return Store(client, uri, created, uri == own, lock, domain)
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        if artifacts is not None and found.artifact_location != artifacts:
            raise BadInput(_of_another_place(uri, own, found.artifact_location, root))
        if found.tags.get("mlflow.note.content") != DESCRIPTION:
            client.set_experiment_tag(found.experiment_id, "mlflow.note.content", DESCRIPTION)
    return Store(client, uri, found.experiment_id, uri == own, lock, domain)


def one_sentence_if_it_fails(store: Store) -> AbstractContextManager[None]:
    """Turn the failure of a store in the middle of something into a BadInput that names it, without passwords."""
    return _one_sentence(store.uri)


def _of_another_place(uri: str, own: str, artifacts: str, root: Path) -> str:
    """Why a SQLite store is not used, with the command that helps: git and DVC have all that it showed."""
    said = f"{masked(uri)} keeps its files in {artifacts}, not in {(root / 'mlartifacts').as_uri()}: "
    if uri != own:
        return f"{said}it is the store of another project; `unset MLFLOW_TRACKING_URI` to use this project's own"
    store, aside = shlex.quote(str(root / "mlflow.db")), shlex.quote(str(root / "mlflow.db.old"))
    return (
        f"{said}this folder was moved or copied; `mv {store} {aside} && denoise sync` makes the store anew "
        "(`denoise sync --all-commits`: with its history)"
    )


def _ask_database(uri: str, timeout_s: int) -> None:
    """Connect to a database once: MLflow tries for minutes, and says nothing meanwhile."""
    if not addresses.is_database(uri):
        return
    from sqlalchemy import create_engine

    known = uri.startswith(("postgres", "mysql"))
    engine = create_engine(uri, connect_args={"connect_timeout": timeout_s} if known else {})
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def _make_whole(uri: str) -> None:
    """Make a new SQLite store beside its place: one whose making was interrupted halfway could never be used."""
    from mlflow.tracking import MlflowClient
    from sqlalchemy import make_url

    path = make_url(uri).database if uri.startswith("sqlite:") else None
    if path in (None, "", ":memory:") or Path(path).exists():
        return
    with atomic.file(Path(path)) as temporary:
        MlflowClient(f"sqlite:///{temporary}").search_experiments(max_results=1)


@contextmanager
def _one_sentence(uri: str) -> Iterator[None]:
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, CommandError) as error:  # MLflow does not wrap all that databases say
        # Masked before it is cut: half a password would not be recognised.
        lines = [line for line in masked(str(error)).splitlines() if not line.startswith("(raised as a result of")]
        reason = " ".join(lines[:1])[:300]
        raise BadInput(f"the tracking store at {masked(uri)} fails: {reason}{addresses.by_proxy(uri)}") from error
    except ModuleNotFoundError as error:
        if not addresses.is_database(uri):
            raise
        raise BadInput(
            f"the tracking store at {masked(uri)} needs the Python package {error.name}, which is not installed; "
            "this project brings the one for postgresql+psycopg://"
        ) from error
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, f"the tracking store at {masked(uri)}") from error


def _create_experiment(client: "MlflowClient", name: str, artifacts: str | None, tags: Mapping[str, str]) -> str:
    """The id of a new experiment, or of the one that another machine made at this moment."""
    from mlflow.exceptions import MlflowException

    try:
        return client.create_experiment(name, artifact_location=artifacts, tags=dict(tags))
    except MlflowException:
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return found.experiment_id


def runs_by_key(store: Store) -> dict[str, "Run"]:
    """Every run of the experiment that has a key; of equal keys the oldest."""
    found, token = {}, None
    while True:
        page = store.client.search_runs(
            [store.experiment], order_by=["attributes.start_time DESC"], max_results=500, page_token=token
        )
        found |= {run.data.tags["key"]: run for run in page if "key" in run.data.tags}
        token = page.token
        if not token:
            return found


def keys_of_run(store: Store, run_id: str) -> list[str]:
    """The key of the run with this id; none if the store has no such run."""
    from mlflow.exceptions import MlflowException

    try:
        tags = store.client.get_run(run_id).data.tags
    except MlflowException:
        return []
    return [tags["key"]] if "key" in tags else []


def publish(
    store: Store, record: Record, origin: Origin, extra: Mapping[str, str], with_model: bool, replace: bool
) -> Outcome:
    """Bring a record into the store, as far as it is not there.

    A finished run is only added to. Values that differ from what the same work gave before are reported and left out:
    as contradictions, or as `elsewhere` if another kind of machine gave them. extra: tags that say where the run is
    used; with_model: whether to log the network too; replace: whether test results and figures of another evaluation
    give way to these.
    """
    with store.lock:
        run, did = _open(store, record, origin)
        if not replace and "evaluation.key" in run.data.tags:
            inputs = tuple(given for given in record.inputs if given.context != "test")
            record = record._replace(evaluation=None, figures=None, inputs=inputs)
        found, left_out = [_differing_outs(run, record)], []
        if found[0].other_kind:
            if set_tags(store, run, _elsewhere_tags(record)):
                did.append("files of another kind of machine")
        elif not found[0].same_kind:
            _publish_params(store, run, record, did)
            found.append(_publish_history(store, run, record, did))
            _publish_inputs(store, run, record, did)
            found.append(_publish_evaluation(store, run, record, did))
            found.append(_publish_figures(store, run, record, did))
            if with_model and record.weights:
                try:
                    _publish_model(store, run, record, did)
                except BadInput as error:  # an architecture that this code does not know, for example
                    left_out.append(f"model {record.model} {record.key[:12]}: {error}")
            # Work that finished once stays finished, also while it is done again.
            if record.finished or run.info.status != "FINISHED":
                tags = {**record.tags, **_out_tags(run, record), **_origin_tags(run, origin), **extra}
                if set_tags(store, run, tags):
                    did.append("tags")
                _set_status(store, run, record, did)
    return Outcome(
        model=record.model,
        key=record.key,
        run_id=run.info.run_id,
        did=tuple(did),
        contradictions=tuple(said for differences in found for said in differences.same_kind),
        elsewhere=tuple(said for differences in found for said in differences.other_kind),
        left_out=tuple(left_out),
    )


def end(store: Store, run_id: str, status: str) -> None:
    """Close a run whose training did not finish, FAILED or KILLED; one that finished before stays finished."""
    if store.client.get_run(run_id).info.status == "RUNNING":
        store.client.set_terminated(run_id, status)


def run_name(model: str, key: str) -> str:
    """What a run is called: two trainings of one model differ, and a rebuilt store has the same names."""
    return f"{model}-{key[:8]}"


def rename(store: Store, run: "Run") -> bool:
    """Give a run its name, if it has another one, as those of older versions have. Returns whether it had."""
    tags = run.data.tags
    name = run_name(tags["model"], tags["key"]) if "model" in tags else run.info.run_name
    if run.info.run_name == name:
        return False
    store.client.update_run(run.info.run_id, name=name)
    return True


def _open(store: Store, record: Record, origin: Origin) -> tuple["Run", list[str]]:
    """The run of this key, made if there is none. It has its key from its first moment."""
    found = _runs_of(store, record.key)
    if found:
        return found[0], []
    tags = {**record.tags, **_origin_tags(None, origin), "mlflow.source.name": record.tags["cmd"]}
    run = store.client.create_run(store.experiment, tags=tags, run_name=run_name(record.model, record.key))
    oldest = _runs_of(store, record.key)[0]
    if (
        oldest.info.run_id != run.info.run_id
    ):  # another machine, which this one's lock does not stop, was a moment earlier
        store.client.delete_tag(run.info.run_id, "key")
        store.client.set_tag(run.info.run_id, "duplicate of", oldest.info.run_id)
        store.client.set_terminated(run.info.run_id, "KILLED")
        return oldest, []
    return run, ["run created"]


def _runs_of(store: Store, key: str) -> list["Run"]:
    """The runs with a key, oldest first; more than one only while machines race."""
    return store.client.search_runs(
        [store.experiment], f"tags.`key` = '{key}'", order_by=["attributes.start_time ASC", "attributes.run_id ASC"]
    )


def _origin_tags(run: "Run | None", origin: Origin) -> dict[str, str]:
    """A run keeps the commit that it was made at until git has a commit that gives it."""
    if origin.commit is None or (origin.dirty and run is not None and "git.commit" in run.data.tags):
        return {}
    return {
        "git.commit": origin.commit,
        "git.dirty": str(origin.dirty).lower(),
        "mlflow.source.git.commit": origin.commit,
    }


def _differing_outs(run: "Run", record: Record) -> Differences:
    """Files that differ from those that the same work wrote before.

    A machine's kind is the model's platform.json. What several kinds wrote is known: the first one's in tags `out/`,
    the others' in tags `elsewhere/`, so that each is compared with its own kind.
    """
    stage, known = record.tags["stage"], _outs_of(run)
    differing = _differing(known, record.outs)
    if not differing:
        return Differences()
    here, first = _kind(record.outs), _kind(known)
    if here is not None and here == first:
        return Differences(same_kind=tuple(_another(stage, path, record.outs, known) for path in differing))
    kinds = _told_kinds(run.data.tags.get("platform"), record.platform) if here and first else "not recorded"
    before = json.loads(run.data.tags.get(f"{ELSEWHERE}{here}", "{}")).get("outs", {})
    again = _differing(before, record.outs)
    if again and here is not None:
        return Differences(same_kind=tuple(_another(stage, path, record.outs, before) for path in again))
    names = ", ".join(path.rpartition("/")[2] for path in differing)
    said = f"{stage} wrote another {names} on another kind of machine ({kinds}); MLflow shows the first"
    return Differences(other_kind=(said,))


def _outs_of(run: "Run") -> dict[str, str]:
    """Path -> MD5 of what the first training of this work wrote; empty if none has ended."""
    return {name.removeprefix("out/"): md5 for name, md5 in run.data.tags.items() if name.startswith("out/")}


def _differing(known: Mapping[str, str], outs: Mapping[str, str]) -> list[str]:
    """Paths that have another MD5, but for the platform's, which two kinds of machines may differ in alone."""
    return [
        path for path, md5 in outs.items() if known.get(path, md5) != md5 and not path.endswith(f"/{layout.PLATFORM}")
    ]


def _kind(outs: Mapping[str, str]) -> str | None:
    """The MD5 of the platform.json among the outs."""
    return next((md5 for path, md5 in outs.items() if path.endswith(f"/{layout.PLATFORM}")), None)


def _another(stage: str, path: str, outs: Mapping[str, str], before: Mapping[str, str]) -> str:
    return (
        f"{stage} wrote another {path} (MD5 {outs[path]}, before {before[path]}) from the same work on the same kind "
        "of machine"
    )


def _told_kinds(recorded: str | None, platform: Mapping[str, object]) -> str:
    """What two kinds of machines differ in."""
    before = json.loads(recorded) if recorded else {}
    said = [
        f"{name} {value}, first {before[name]}"
        for name, value in platform.items()
        if before.get(name) != value and name in before
    ]
    return "; ".join(said) or "its platform.json differs"


def _elsewhere_tags(record: Record) -> dict[str, str]:
    """The files that another kind of machine wrote, by the MD5 of its platform.json."""
    kind = {"kind": dict(record.platform), "outs": dict(record.outs)}
    return {f"{ELSEWHERE}{_kind(record.outs)}": json.dumps(kind, sort_keys=True)}


def _out_tags(run: "Run", record: Record) -> dict[str, str]:
    """The files that the training wrote, and on which kind of machine; what the first one wrote stays."""
    known = _outs_of(run)
    tags = {f"out/{path}": known.get(path, md5) for path, md5 in record.outs.items()}
    if record.platform and _kind(known) in (None, _kind(record.outs)):
        tags["platform"] = json.dumps(dict(record.platform), sort_keys=True)
    return tags


def _publish_params(store: Store, run: "Run", record: Record, did: list[str]) -> None:
    from mlflow.entities import Param

    missing = [Param(name, value) for name, value in record.params.items() if name not in run.data.params]
    for start in range(0, len(missing), 100):
        store.client.log_batch(run.info.run_id, params=missing[start : start + 100])
    if missing:
        did.append(f"{len(missing)} params")


def _publish_history(store: Store, run: "Run", record: Record, did: list[str]) -> Differences:
    """The points of every epoch that the store lacks; those that it has otherwise are contradictions.

    A point's time stamp is its epoch, in seconds since 1970: files hold no times, and equal points must be equal.
    While a training runs nobody knows its kind of machine: its points are compared when it has ended. And the points
    of one that never ended give way to those of one that did.
    """
    from mlflow.entities import Metric

    wanted = [
        Metric(name, float(row[column]), int(row["epoch"]) * 1000, int(row["epoch"]))
        for row in record.history
        for column, name in TRAINING.items()
        if column in row
    ]
    missing, differing = _compare(store, run, wanted)
    if not _outs_of(run):
        missing, differing = [*missing, *_later(store, run, differing)], []
    _log(store, run, missing)
    if missing:
        did.append(f"{len(missing)} points of training")
    if not record.outs:
        return Differences()
    return Differences(
        same_kind=tuple(
            f"{record.tags['stage']} gave {point.key} {point.value} at epoch {point.step}, before {before}"
            for point, before in differing
        )
    )


def _publish_evaluation(store: Store, run: "Run", record: Record, did: list[str]) -> Differences:
    """Test metrics, step = 10,000 x sigma, and again as one metric a noise level, by which runs can be sorted.

    Points of an older evaluation stay, as MLflow cannot take a point back; the newer ones, a millisecond later, count.
    No file says on which kind of machine an evaluation ran; values that are as near as rounding takes them are one's.
    """
    from mlflow.entities import Metric

    if record.evaluation is None:
        return Differences()
    wanted = []
    for sigma, values in record.evaluation.content.items():
        step = round(STEPS_OF_SIGMA * float(sigma))
        wanted += [Metric(f"test/{name}", value, step * 1000, step) for name, value in values.items()]
        wanted.append(Metric(f"psnr_db_{sigma}", values["psnr_db"], 0, 0))  # one step, so that MLflow draws bars
    missing, differing = _compare(store, run, wanted)
    if differing and run.data.tags.get("evaluation.key") == record.evaluation.key:
        return _differing_means(f"evaluate@{record.model}", differing)
    missing += _later(store, run, differing)
    _log(store, run, missing)
    if missing:
        did.append(f"{len(missing)} points of evaluation")
    if set_tags(store, run, {"evaluation.key": record.evaluation.key}):
        did.append("evaluation")
    return Differences()


def _differing_means(stage: str, differing: Sequence[tuple["Metric", float]]) -> Differences:
    if all(abs(point.value - before) <= _rounding(point.key) for point, before in differing):
        most = max(abs(point.value - before) for point, before in differing)
        said = (
            f"{stage} gave means that differ by at most {most:.2g}, as on another kind of machine; the first are shown"
        )
        return Differences(other_kind=(said,))
    return Differences(
        same_kind=tuple(
            f"{stage} gave {point.key} {point.value} at step {point.step}, before {before}"
            for point, before in differing
        )
    )


def _rounding(metric: str) -> float:
    """How far the means of the same weights may differ on another kind of machine; all of PSNR are in dB."""
    name = metric.removeprefix("test/")
    return METRICS[name if name in METRICS else "psnr_db"].tolerance


def _later(store: Store, run: "Run", differing: Iterable[tuple["Metric", float]]) -> list["Metric"]:
    """The points again, a millisecond later than those that they replace."""
    from mlflow.entities import Metric

    return [Metric(point.key, point.value, _newest(store, run, point) + 1, point.step) for point, _ in differing]


def _compare(
    store: Store, run: "Run", wanted: Iterable["Metric"]
) -> tuple[list["Metric"], list[tuple["Metric", float]]]:
    """Points that the store lacks, and those that it has with another value."""
    known = {}
    missing, differing = [], []
    for point in wanted:
        if point.key not in known:
            history = (
                store.client.get_metric_history(run.info.run_id, point.key) if point.key in run.data.metrics else []
            )
            known[point.key] = {old.step: old.value for old in sorted(history, key=lambda old: old.timestamp)}
        before = known[point.key].get(point.step)
        if before is None:
            missing.append(point)
        elif before != point.value:
            differing.append((point, before))
    return missing, differing


def _newest(store: Store, run: "Run", point: "Metric") -> int:
    history = store.client.get_metric_history(run.info.run_id, point.key)
    return max(old.timestamp for old in history if old.step == point.step)


def _log(store: Store, run: "Run", points: list["Metric"]) -> None:
    for start in range(0, len(points), 1000):
        store.client.log_batch(run.info.run_id, metrics=points[start : start + 1000])


def _publish_inputs(store: Store, run: "Run", record: Record, did: list[str]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    known = {(found.dataset.name, found.dataset.digest) for found in run.inputs.dataset_inputs} if run.inputs else set()
    missing = [given for given in record.inputs if (given.path, given.md5) not in known]
    if missing:
        datasets = [
            DatasetInput(
                Dataset(given.path, given.md5, "dvc", json.dumps({"path": given.path, "md5": given.md5})),
                [InputTag("mlflow.data.context", given.context)],
            )
            for given in missing
        ]
        store.client.log_inputs(run.info.run_id, datasets)
        did.append(f"{len(missing)} datasets")


def _publish_figures(store: Store, run: "Run", record: Record, did: list[str]) -> Differences:
    """The figures. Other ones from the same work are left out: no file says on which kind of machine any were drawn."""
    if record.figures is None:
        return Differences()
    others, same_work = [], run.data.tags.get("figures.key") == record.figures.key
    there = {file.path for file in store.client.list_artifacts(run.info.run_id)}
    for name, png in record.figures.content.items():
        md5 = checksum.md5(png)
        known = run.data.tags.get(f"figure/{name}")
        if known == md5 and name in there:
            continue
        if known not in (None, md5) and same_work:
            others.append(f"figures drew another {name} (MD5 {md5}, before {known}), as on another kind of machine")
            continue
        with temporary.laid_out({name: png}) as folder:
            store.client.log_artifact(run.info.run_id, str(folder / name))
        set_tags(store, run, {f"figure/{name}": md5})
        did.append(f"figure {name}")
    if not others and set_tags(store, run, {"figures.key": record.figures.key}):
        did.append("figures")
    return Differences(other_kind=tuple(others))


def _publish_model(store: Store, run: "Run", record: Record, did: list[str]) -> None:
    digest = checksum.md5(record.weights[layout.WEIGHTS])
    if run.data.tags.get("model.md5") == digest:
        return
    log_model(store, run, record.weights)
    set_tags(store, run, {"model.md5": digest})
    did.append("model")


def log_model(store: Store, run: "Run", weights: Mapping[str, bytes]) -> str:
    """Log a network as the run's model `model`, in torch.export's format: nothing is pickled. Returns the model's id.

    weights: the content of model.safetensors and model.json. One that is there already is not logged again.
    Raises BadInput if they are no network that this code knows.
    """
    digest = checksum.md5(weights[layout.WEIGHTS])
    found = logged_model(store, run.info.run_id, digest)
    if found is not None:
        return found
    import mlflow
    import numpy
    import torch

    from domain_denoiser.networks import architectures, stored, tracing

    with temporary.laid_out(weights) as folder:
        network, settings = stored.load(folder, "cpu"), stored.load_settings(folder)
    size, channels = architectures.image_size(settings), architectures.channels(settings)
    height, width = (28, 36) if size is None else size
    with mlflow.start_run(run_id=run.info.run_id), tracing.any_size():
        logged = mlflow.pytorch.log_model(
            tracing.AnyLayout(network),
            name="model",
            signature=_signature(channels, size),
            input_example=numpy.zeros((2, channels, height, width), numpy.float32),
            pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}", f"numpy=={numpy.__version__}"],
            serialization_format="pt2",
            tags={"md5": digest},
        )
    if run.info.status == "FINISHED":  # as start_run has just ended the run once more, later than its training ended
        store.client.set_terminated(run.info.run_id, "FINISHED", run.info.end_time)
    return logged.model_id


def _signature(channels: int, size: tuple[int, int] | None) -> "ModelSignature":
    """float32 [B, C, H, W] to the same; any H and W if the network has no size of its own."""
    import numpy
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    shape = (-1, channels, *((-1, -1) if size is None else size))
    images = Schema([TensorSpec(numpy.dtype(numpy.float32), shape)])
    return ModelSignature(inputs=images, outputs=images)


def logged_model(store: Store, run_id: str, md5: str) -> str | None:
    """The id of the model that a run has logged of the weights with this MD5; None if it has none."""
    logged = store.client.search_logged_models([store.experiment], f"source_run_id = '{run_id}'")
    return next((model.model_id for model in logged if model.status == "READY" and model.tags.get("md5") == md5), None)


def set_tags(store: Store, run: "Run", tags: Mapping[str, str]) -> bool:
    """Set those tags of a run that differ; one with nothing to say is taken away. Returns whether any did."""
    from mlflow.entities import RunTag

    changed = [RunTag(name, value) for name, value in tags.items() if value and run.data.tags.get(name) != value]
    silent = [name for name, value in tags.items() if not value and name in run.data.tags]
    for name in silent:
        store.client.delete_tag(run.info.run_id, name)
    for start in range(0, len(changed), 100):
        store.client.log_batch(run.info.run_id, tags=changed[start : start + 100])
    return bool(changed or silent)


def _set_status(store: Store, run: "Run", record: Record, did: list[str]) -> None:
    if not record.finished:
        if run.info.status != "RUNNING":  # killed before, and now done again
            store.client.update_run(run.info.run_id, status="RUNNING")
        return
    if run.info.status != "FINISHED":
        store.client.set_terminated(run.info.run_id, "FINISHED")
        did.append(f"{run.info.status} -> FINISHED")
    for name in [name for name in run.data.tags if name.startswith("process.")]:
        store.client.delete_tag(run.info.run_id, name)
        did.append(f"{name} removed")
