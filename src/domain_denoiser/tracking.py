"""The projection of records into MLflow: the only module that imports it.

`publish` is idempotent: it brings into the store what is missing there, and reports what contradicts it.
"""

import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil
from filelock import FileLock

from domain_denoiser import atomic
from domain_denoiser.errors import BadInput
from domain_denoiser.masking import masked
from domain_denoiser.records import Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

EXPERIMENT = "mnist-denoising"
DESCRIPTION = """Denoisers of MNIST digits. A run is one training.
Its key follows from what the training read: command, data, code, params.

- Charts: `val/psnr_db` against the epoch, `test/psnr_db` against the noise level (step = 100 x sigma).
- The best model: sort the runs by `psnr_db_0.5`, the PSNR at noise level 0.5; there is one such column for each level.
- The data of a run: its inputs, whose digests are DVC's hashes.

This store is a view: `denoise sync` rebuilds it from dvc.lock and the DVC cache."""

TRAINING = {
    "train_loss": "train/loss",
    "val_loss": "val/loss",
    "val_psnr_db": "val/psnr_db",
    "learning_rate": "train/learning_rate",
}
PLATFORM = "platform.json"


class Origin(NamedTuple):
    """Where git has the work: the commit, and whether the tree differed from it."""

    commit: str | None
    dirty: bool


class Store(NamedTuple):
    """A tracking store and the experiment in it."""

    client: "MlflowClient"
    uri: str
    experiment: str  # its id
    local: bool  # whether it is the project's own, beside dvc.yaml
    lock: FileLock  # held while runs are looked up and written, so that equal work never makes two runs


class Outcome(NamedTuple):
    """What `publish` found and did."""

    model: str
    key: str
    run_id: str
    did: tuple[str, ...]  # nothing: the store agreed already
    contradictions: tuple[str, ...]  # nondeterminism: other values than the store has from the same work
    left_out: tuple[str, ...]  # what could not be published, and why


def connect(root: Path, retries: int, timeout_s: int) -> Store:
    """The store that MLFLOW_TRACKING_URI names, else SQLite at the project's root.

    retries, timeout_s: of each call to a server. Raises BadInput if the store does not answer, or is
    that of a project elsewhere.
    """
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
    mlflow.set_tracking_uri(uri)
    # A server keeps artifacts itself; beside SQLite they lie at the root, or they would follow the working directory.
    artifacts = (root / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None
    name = hashlib.sha256(masked(uri).encode()).hexdigest()[:16]  # seen by everybody on this machine
    lock = FileLock(Path(tempfile.gettempdir()) / f"domain-denoiser-{os.getuid()}-{name}.lock")
    # Processes that meet a fresh SQLite store at once would collide in its migrations.
    with lock, _one_sentence(uri):
        _make_whole(uri)
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            tags = {"mlflow.note.content": DESCRIPTION}
            return Store(client, uri, _create_experiment(client, artifacts, tags), uri == own, lock)
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
    if artifacts is not None and found.artifact_location != artifacts:
        raise BadInput(
            f"{masked(uri)} keeps its artifacts in {found.artifact_location}, not in {artifacts}: it is the store of "
            "another project, or this one was copied or moved; without it, `denoise sync` makes a new one"
        )
    return Store(client, uri, found.experiment_id, uri == own, lock)


def one_sentence_if_it_fails(store: Store) -> AbstractContextManager[None]:
    """Turn the failure of a store in the middle of something into a BadInput that names it, without passwords."""
    return _one_sentence(store.uri)


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
        raise BadInput(f"the tracking store at {masked(uri)} fails: {reason}") from error
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, f"the tracking store at {masked(uri)}") from error


def _create_experiment(client: "MlflowClient", artifacts: str | None, tags: Mapping[str, str]) -> str:
    """The id of a new experiment, or of the one that another machine made at this moment."""
    from mlflow.exceptions import MlflowException

    try:
        return client.create_experiment(EXPERIMENT, artifact_location=artifacts, tags=dict(tags))
    except MlflowException:
        found = client.get_experiment_by_name(EXPERIMENT)
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

    A finished run is only added to. Values that differ from what the same work gave before are reported as
    contradictions and left out. extra: tags that say where the run is used; with_model: whether to log the network too;
    replace: whether test results and figures of another evaluation give way to these.
    """
    with store.lock:
        run, did = _open(store, record, origin)
        if not replace and "evaluation.key" in run.data.tags:
            inputs = tuple(given for given in record.inputs if given.context != "test")
            record = record._replace(evaluation=None, figures=None, inputs=inputs)
        left_out = []
        contradictions = _contradicting_outs(run, record)
        if not contradictions:
            _publish_params(store, run, record, did)
            contradictions += _publish_history(store, run, record, did)
            _publish_inputs(store, run, record, did)
            contradictions += _publish_evaluation(store, run, record, did)
            contradictions += _publish_figures(store, run, record, did)
            if with_model and record.weights:
                try:
                    _publish_model(store, run, record, did)
                except BadInput as error:  # an architecture that this code does not know, for example
                    left_out.append(f"model {record.model} {record.key[:12]}: {error}")
            # Work that finished once stays finished, also while it is done again.
            if record.finished or run.info.status != "FINISHED":
                outs = {f"out/{path}": md5 for path, md5 in record.outs.items()}
                if set_tags(store, run, {**record.tags, **outs, **_origin_tags(run, origin), **extra}):
                    did.append("tags")
                _set_status(store, run, record, did)
    return Outcome(record.model, record.key, run.info.run_id, tuple(did), tuple(contradictions), tuple(left_out))


def end(store: Store, run_id: str, status: str) -> None:
    """Close a run whose training did not finish, FAILED or KILLED; one that finished before stays finished."""
    if store.client.get_run(run_id).info.status == "RUNNING":
        store.client.set_terminated(run_id, status)


def process_tags(pid: int) -> dict[str, str]:
    """What says, while a run is RUNNING, which process is doing the work."""
    return {
        "process.host": socket.gethostname(),
        "process.pid": str(pid),
        "process.started": str(psutil.Process(pid).create_time()),
    }


def is_dead(tags: Mapping[str, str]) -> bool:
    """Whether the process that `process_tags` described ran on this host and runs no more."""
    if tags.get("process.host") != socket.gethostname():
        return False
    try:
        return str(psutil.Process(int(tags["process.pid"])).create_time()) != tags["process.started"]
    except (psutil.NoSuchProcess, ValueError, KeyError):
        return True


def _open(store: Store, record: Record, origin: Origin) -> tuple["Run", list[str]]:
    """The run of this key, made if there is none. It has its key from its first moment."""
    found = _runs_of(store, record.key)
    if found:
        return found[0], []
    tags = {**record.tags, **_origin_tags(None, origin), "mlflow.source.name": record.tags["cmd"]}
    run = store.client.create_run(store.experiment, tags=tags, run_name=record.model)
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


def _contradicting_outs(run: "Run", record: Record) -> list[str]:
    """Files that differ from those that the same work wrote before."""
    known = {name.removeprefix("out/"): md5 for name, md5 in run.data.tags.items() if name.startswith("out/")}
    differing = [path for path, md5 in record.outs.items() if known.get(path, md5) != md5]
    other_platform = any(path.endswith(PLATFORM) for path in differing)
    return [
        f"{record.tags['stage']} wrote another {path} (MD5 {record.outs[path]}, before {known[path]}) "
        f"from the same work on {'another' if other_platform else 'the same'} platform"
        for path in differing
        if not path.endswith(PLATFORM)
    ]


def _publish_params(store: Store, run: "Run", record: Record, did: list[str]) -> None:
    from mlflow.entities import Param

    missing = [Param(name, value) for name, value in record.params.items() if name not in run.data.params]
    for start in range(0, len(missing), 100):
        store.client.log_batch(run.info.run_id, params=missing[start : start + 100])
    if missing:
        did.append(f"{len(missing)} params")


def _publish_history(store: Store, run: "Run", record: Record, did: list[str]) -> list[str]:
    """The points of every epoch that the store lacks; those that it has otherwise are contradictions.

    A point's time stamp is its epoch, in seconds since 1970: files hold no times, and equal points must be equal.
    """
    from mlflow.entities import Metric

    wanted = [
        Metric(name, float(row[column]), int(row["epoch"]) * 1000, int(row["epoch"]))
        for row in record.history
        for column, name in TRAINING.items()
    ]
    missing, contradicting = _compare(store, run, wanted)
    _log(store, run, missing)
    if missing:
        did.append(f"{len(missing)} points of training")
    return [
        f"{record.tags['stage']} gave {point.key} {point.value} at epoch {point.step}, before {before}"
        for point, before in contradicting
    ]


def _publish_evaluation(store: Store, run: "Run", record: Record, did: list[str]) -> list[str]:
    """Test metrics, step = 100 x sigma, and again as one metric a noise level, by which runs can be sorted.

    Points of an older evaluation stay, as MLflow cannot take a point back; the newer ones, a millisecond later, count.
    """
    from mlflow.entities import Metric

    if record.evaluation is None:
        return []
    wanted = []
    for sigma, values in record.evaluation.content.items():
        step = round(100 * float(sigma))
        wanted += [Metric(f"test/{name}", value, step * 1000, step) for name, value in values.items()]
        wanted.append(Metric(f"psnr_db_{sigma}", values["psnr_db"], 0, 0))  # one step, so that MLflow draws bars
    missing, differing = _compare(store, run, wanted)
    if differing and run.data.tags.get("evaluation.key") == record.evaluation.key:
        return [
            f"evaluate@{record.model} gave {point.key} {point.value} at step {point.step}, before {before}"
            for point, before in differing
        ]
    missing += [Metric(point.key, point.value, _newest(store, run, point) + 1, point.step) for point, _ in differing]
    _log(store, run, missing)
    if missing:
        did.append(f"{len(missing)} points of evaluation")
    if set_tags(store, run, {"evaluation.key": record.evaluation.key}):
        did.append("evaluation")
    return []


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


def _publish_figures(store: Store, run: "Run", record: Record, did: list[str]) -> list[str]:
    if record.figures is None:
        return []
    contradictions, same_work = [], run.data.tags.get("figures.key") == record.figures.key
    there = {file.path for file in store.client.list_artifacts(run.info.run_id)}
    for name, png in record.figures.content.items():
        md5 = hashlib.md5(png, usedforsecurity=False).hexdigest()
        known = run.data.tags.get(f"figure/{name}")
        if known == md5 and name in there:
            continue
        if known not in (None, md5) and same_work:
            contradictions.append(f"figures drew another {name} (MD5 {md5}, before {known}) from the same work")
            continue
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / name).write_bytes(png)
            store.client.log_artifact(run.info.run_id, str(Path(folder) / name))
        set_tags(store, run, {f"figure/{name}": md5})
        did.append(f"figure {name}")
    if not contradictions and set_tags(store, run, {"figures.key": record.figures.key}):
        did.append("figures")
    return contradictions


def _publish_model(store: Store, run: "Run", record: Record, did: list[str]) -> None:
    """The network as MLflow's model `model`, in torch.export's format: nothing is pickled."""
    digest = hashlib.md5(record.weights["model.safetensors"], usedforsecurity=False).hexdigest()
    if run.data.tags.get("model.md5") == digest:
        return
    import mlflow
    import numpy
    import torch
    from mlflow.models import infer_signature

    from domain_denoiser.models import stored

    with tempfile.TemporaryDirectory() as folder:
        for name, content in record.weights.items():
            (Path(folder) / name).write_bytes(content)
        network = stored.load(Path(folder), "cpu")
    example = numpy.zeros((2, 1, 28, 28), numpy.float32)
    # It is there already if whoever logged it died before the tag of the run.
    logged = store.client.search_logged_models([store.experiment], f"source_run_id = '{run.info.run_id}'")
    if not any(model.status == "READY" and model.tags.get("md5") == digest for model in logged):
        with mlflow.start_run(run_id=run.info.run_id):
            mlflow.pytorch.log_model(
                network,
                name="model",
                signature=infer_signature(example, example),
                input_example=example,
                pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}", f"numpy=={numpy.__version__}"],
                serialization_format="pt2",
                tags={"md5": digest},
            )
    if run.info.status == "FINISHED":  # as start_run has just ended the run once more, later than its training ended
        store.client.set_terminated(run.info.run_id, "FINISHED", run.info.end_time)
    set_tags(store, run, {"model.md5": digest})
    did.append("model")


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
