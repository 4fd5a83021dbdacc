"""MLflow as a view: deleted and rebuilt, on another machine, by many at once, after any interruption."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest
from mlflow.tracking import MlflowClient
from pipeline import Pipeline, clean_environment
from servers import free_port

from domain_denoiser.runs import dvc_lock, mlflow_store, sync

REGISTERED = "mnist-denoiser"


@pytest.fixture
def changed(pipeline: Pipeline, tmp_path: Path) -> Pipeline:
    return pipeline.copy(tmp_path / "copy")


def snapshot(pipeline: Pipeline) -> dict[str, dict]:
    """All that MLflow shows of each run, except what docs/tracking.md lists: run id, artifact location, start, end."""
    client = open_store(pipeline)
    experiment = client.get_experiment_by_name("mnist-denoising")
    shown = {}
    for run in client.search_runs([experiment.experiment_id]):
        artifacts = Path(unquote(run.info.artifact_uri.removeprefix("file://")))
        shown[run.data.tags["key"]] = {
            "name": run.info.run_name,
            "status": run.info.status,
            "user": run.info.user_id,
            "lifecycle": run.info.lifecycle_stage,
            "params": run.data.params,
            "tags": run.data.tags,
            "metrics": {
                key: sorted(
                    (point.step, point.timestamp, point.value)
                    for point in client.get_metric_history(run.info.run_id, key)
                )
                for key in run.data.metrics
            },
            "inputs": sorted(
                (found.dataset.name, found.dataset.digest, found.dataset.source, found.tags[0].value)
                for found in run.inputs.dataset_inputs
            ),
            "figures": {path.name: path.read_bytes() for path in artifacts.rglob("*.png")},
            "models": len(run.outputs.model_outputs),
        }
    assert shown
    assert all(len(run["figures"]) == 3 and run["models"] == 1 for run in shown.values() if run["status"] == "FINISHED")
    return shown


def open_store(pipeline: Pipeline) -> MlflowClient:
    """A client on a copy of the store: MLflow keeps a database open, and would go on reading one that was deleted."""
    copy = Path(tempfile.mkdtemp(dir=pipeline.root.parent)) / "mlflow.db"
    with sqlite3.connect(pipeline.root / "mlflow.db") as store, sqlite3.connect(copy) as copied:
        store.backup(copied)
    return MlflowClient(f"sqlite:///{copy}")


def delete_store(pipeline: Pipeline) -> None:
    for path in pipeline.root.glob("mlflow.db*"):
        path.unlink()
    shutil.rmtree(pipeline.root / "mlartifacts")


def did(pipeline: Pipeline, *arguments: str, **environment: str) -> dict:
    return json.loads(pipeline.run("denoise", "sync", "--json", *arguments, **environment).stdout)


def test_a_deleted_store_comes_back_as_it_was(changed: Pipeline) -> None:
    live = snapshot(changed)
    delete_store(changed)
    outcomes = did(changed)["outcomes"]
    assert all("run created" in outcome["did"] for outcome in outcomes)
    assert snapshot(changed) == live
    assert [outcome["did"] for outcome in did(changed)["outcomes"]] == [[]] * len(live)
    assert snapshot(changed) == live
    load = f"import mlflow; mlflow.pytorch.load_model('runs:/{outcomes[0]['run_id']}/model')"
    uri = f"sqlite:///{changed.root}/mlflow.db"
    changed.run("python", "-c", load, MLFLOW_TRACKING_URI=uri, MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false")


@pytest.mark.services
def test_a_second_machine_pulls_and_sees_the_same(changed: Pipeline, tmp_path: Path) -> None:
    changed.run("dvc", "remote", "add", "--default", "team", str(tmp_path / "remote"))
    changed.run("dvc", "push", "dvc.yaml")
    changed.run("git", "commit", "-q", "-am", "A remote")
    subprocess.run(["git", "clone", "-q", str(changed.root), str(tmp_path / "second")], check=True)
    second = Pipeline(tmp_path / "second", "")
    said = did(second)
    assert {path.rpartition(" ")[2] for path in said["missing"]} >= {"models/fixed/model.safetensors"}
    second.run("dvc", "pull", "dvc.yaml")
    assert second.stages_run() == set()
    did(second)
    did(changed)
    assert snapshot(second) == snapshot(changed)


@pytest.mark.services
def test_six_syncs_at_once_make_one_set_of_runs(changed: Pipeline) -> None:
    live = snapshot(changed)
    delete_store(changed)
    environment = clean_environment(changed.root)
    syncs = [subprocess.Popen(["denoise", "sync"], cwd=changed.root, env=environment) for _ in range(6)]
    assert [running.wait() for running in syncs] == [0] * 6
    assert snapshot(changed) == live


def test_partial_runs_are_repaired(changed: Pipeline) -> None:
    live = snapshot(changed)
    delete_store(changed)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(changed.root)
        store = mlflow_store.connect(changed.root, retries=1, timeout_s=5)
        patch.setattr(mlflow_store, "_publish_figures", interrupt)
        with pytest.raises(Interrupted):
            sync.publish_workspace(store, dvc_lock.workspace(), sync.read_history())
    did(changed)
    assert snapshot(changed) == live


class Interrupted(BaseException):
    """Ends a function where SIGKILL would, so that no handler of errors sees it."""


def interrupt(*_: object, **__: object) -> None:
    raise Interrupted


def test_other_bytes_from_the_same_work_are_reported_and_left_out(changed: Pipeline) -> None:
    live = snapshot(changed)
    recorded = (changed.root / "dvc.lock").read_text()
    stages = dvc_lock.locked(recorded.encode(), "dvc.lock")
    md5 = stages["train@fixed"].outs["models/fixed/model.safetensors"]
    (changed.root / "dvc.lock").write_text(recorded.replace(md5, "f" * 32))
    done = changed.run("denoise", "sync", check=False)
    assert done.returncode == 1
    assert "not deterministic: train@fixed wrote another models/fixed/model.safetensors" in done.stdout
    assert "the same kind of machine" in done.stdout
    key = stages["train@fixed"].key
    assert snapshot(changed)[key] == live[key]


@pytest.mark.services
def test_a_changed_evaluation_is_published_again(changed: Pipeline) -> None:
    source = changed.root / "src/domain_denoiser/evaluation/wholes.py"
    source.write_text(source.read_text().replace(".clamp(0.0, 1.0)", ".clamp(0.0, 0.2)"))
    assert "train@fixed" not in changed.stages_run()
    did(changed)
    after = snapshot(changed)
    metrics = json.loads((changed.root / "reports/metrics.json").read_text())["models"]
    for shown in after.values():
        newest = {step: value for step, _, value in shown["metrics"]["test/psnr_db"]}
        assert newest[5000] == metrics[shown["tags"]["model"]]["0.5"]["psnr_db"]
        assert len(shown["metrics"]["test/psnr_db"]) > 6  # the older points stay
    assert [outcome["did"] for outcome in did(changed)["outcomes"]] == [[]] * len(after)


@pytest.mark.services
def test_history_comes_back_too(changed: Pipeline) -> None:
    changed.params(lambda values: values["models"]["fixed"].update(epochs=1))
    changed.run("dvc", "repro")
    changed.run("git", "add", "-A")
    changed.run("git", "commit", "-q", "-m", "One epoch")
    did(changed)
    live = snapshot(changed)
    models = len(did(changed)["outcomes"])
    assert len(live) == models + 1
    delete_store(changed)
    did(changed)
    assert len(snapshot(changed)) == models
    did(changed, "--all-commits")
    assert snapshot(changed) == live
    assert not any(outcome["did"] for outcome in did(changed, "--all-commits")["outcomes"])
    assert snapshot(changed) == live
    compared = json.loads(changed.run("denoise", "compare", "HEAD~1", "--json").stdout)["after"]["workspace"]
    fixed = next(row for row in compared if row["model"] == "fixed" and row["sigma"] == "0.5")
    plain = next(row for row in compared if row["model"] == "plain" and row["sigma"] == "0.5")
    assert fixed["low"] <= fixed["gain"] <= fixed["high"]
    assert fixed["gain"] == pytest.approx(fixed["after"] - fixed["before"])
    assert plain["gain"] == plain["low"] == plain["high"] == 0.0
    assert "| fixed | 0.5 |" in changed.run("denoise", "compare", "HEAD~1", "--md").stdout


@pytest.mark.services
def test_what_a_later_commit_knows_no_more_comes_from_an_earlier_one(changed: Pipeline) -> None:
    """The noise that a training read, where its dataset was made anew since."""
    changed.params(lambda values: values["noisy"]["fixed"].update(sigma=0.4))
    changed.run("dvc", "repro", "corrupt@fixed")
    changed.run("git", "add", "-A")
    changed.run("git", "commit", "-q", "-m", "Other noise")
    did(changed)
    live = snapshot(changed)
    delete_store(changed)
    did(changed, "--all-commits")
    assert snapshot(changed) == live


def test_show_names_the_hashes_of_dvc_lock(changed: Pipeline) -> None:
    stages = dvc_lock.locked((changed.root / "dvc.lock").read_bytes(), "dvc.lock")
    head = changed.run("git", "rev-parse", "HEAD").stdout.strip()
    for outcome in did(changed)["outcomes"]:
        stage = stages[f"train@{outcome['model']}"]
        for name in (outcome["model"], stage.key[:10], outcome["run_id"]):
            shown = json.loads(changed.run("denoise", "show", name, "--json").stdout)
            assert (shown["deps"], shown["outs"], shown["params"]) == (stage.deps, stage.outs, stage.params)
            assert (shown["key"], shown["commit"], shown["cmd"]) == (stage.key, head, stage.cmd)
    assert changed.run("denoise", "show", "nothing", check=False).returncode == 2


def test_a_store_that_does_not_answer_is_one_sentence(changed: Pipeline) -> None:
    uri = f"http://somebody:secret@127.0.0.1:{free_port()}"
    done = changed.run("denoise", "sync", check=False, MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the tracking store at http://***@127.0.0.1")
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


@pytest.mark.services
def test_a_run_whose_process_is_dead_is_closed(changed: Pipeline) -> None:
    changed.params(lambda values: values["models"]["plain"].update(epochs=100_000))
    training = subprocess.Popen(
        ["dvc", "repro", "train@plain"],
        cwd=changed.root,
        env=clean_environment(changed.root, real=True),
        start_new_session=True,
    )
    wait_for(lambda: any(shown["status"] == "RUNNING" and shown["metrics"] for shown in snapshot(changed).values()))
    assert did(changed)["closed"] == []
    os.killpg(training.pid, signal.SIGKILL)
    training.wait()
    assert len(did(changed)["closed"]) == 1
    assert did(changed)["closed"] == []


@pytest.mark.services
def test_a_gate_a_promotion_and_the_way_back(changed: Pipeline) -> None:
    """`random` becomes champion, trained less it is kept, trained more it is promoted, and the first one comes back."""

    def train(epochs: int) -> None:
        changed.params(lambda values: values["models"]["random"].update(epochs=epochs))
        changed.run("dvc", "repro", "recognise@random")

    def promote() -> int:
        return changed.run("denoise", "promote", "--model", "random", check=False).returncode

    changed.params(lambda values: values["gate"].update(floors_db={"0.5": 1.0}))
    assert promote() == 0
    first = champion(changed)
    assert promote() == 3  # the champion is no better than itself
    changed.run("git", "add", "-A")
    changed.run("git", "commit", "-q", "-m", "The first champion")
    train(epochs=1)
    assert promote() == 3
    assert json.loads((changed.root / "reports/gate.json").read_text())["passed"] is False
    assert champion(changed) == first
    train(epochs=12)
    challenger = dvc_lock.locked((changed.root / "dvc.lock").read_bytes(), "dvc.lock")["train@random"].key
    assert promote() == 0
    assert champion(changed)["key"] == challenger
    assert champion(changed)["gain_db"] > 0
    assert aliases(changed) == {"champion": challenger}
    changed.run("denoise", "promote", "--rollback")
    assert champion(changed) == first
    assert aliases(changed) == {"champion": first["key"], "challenger": challenger}


@pytest.mark.services
def test_an_interrupted_sync_is_repaired_by_the_next(changed: Pipeline) -> None:
    changed.params(lambda values: values["gate"].update(floors_db={"0.5": 1.0}))
    changed.run("denoise", "promote")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(changed.root)
        for call in ("create_registered_model", "create_model_version", "set_registered_model_alias"):
            store = mlflow_store.connect(changed.root, retries=1, timeout_s=5)
            with pytest.MonkeyPatch.context() as inner:
                inner.setattr(store.client, call, interrupt)
                with pytest.raises(Interrupted):
                    sync.publish_champions(store, sync.read_history())
    key = champion(changed)["key"]
    did(changed)
    client = open_store(changed)
    assert client.get_model_version_by_alias(REGISTERED, "champion").tags["key"] == key
    assert len(client.search_model_versions(f"name = '{REGISTERED}'")) == 1


@pytest.mark.services
def test_an_interrupted_promotion_leaves_the_old_champion(changed: Pipeline) -> None:
    changed.params(lambda values: values["gate"].update(floors_db={"0.5": 1.0}))
    changed.run("denoise", "promote", "--model", "plain")
    before = (changed.root / "champion.json").read_bytes()
    killed = (
        "import os, signal; from pathlib import Path\n"
        "from domain_denoiser.runs import champion\n"
        "Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "champion.write(champion.read(), champion.find(champion.read()))"
    )
    assert changed.run("python", "-c", killed, check=False).returncode == -signal.SIGKILL
    assert (changed.root / "champion.json").read_bytes() == before
    did(changed)
    assert aliases(changed)["champion"] == champion(changed)["key"]


def test_a_fresh_clone_has_the_champion_and_shows_it(changed: Pipeline, tmp_path: Path) -> None:
    """In which nothing was trained and nothing was pulled: the weights come from champion/."""
    changed.params(lambda values: values["gate"].update(floors_db={"0.5": 1.0}))
    changed.run("denoise", "promote", "--model", "random")
    changed.run("git", "add", "-A")
    changed.run("git", "commit", "-q", "-m", "The first champion")
    changed.run("git", "clone", "-q", str(changed.root), str(tmp_path / "fresh"))
    fresh = Pipeline(tmp_path / "fresh", "")
    assert not list((fresh.root / "models").glob("*/model.safetensors"))
    assert aliases(fresh) == {"champion": champion(fresh)["key"]}
    assert did(fresh)["registered"] == []


def champion(pipeline: Pipeline) -> dict:
    return json.loads((pipeline.root / "champion.json").read_text())


def aliases(pipeline: Pipeline) -> dict[str, str]:
    """Alias -> key, after a sync."""
    did(pipeline)
    client = open_store(pipeline)
    named = client.get_registered_model(REGISTERED).aliases
    return {alias: client.get_model_version(REGISTERED, version).tags["key"] for alias, version in named.items()}


def start_server(folder: Path, port: int) -> subprocess.Popen:
    """An MLflow server in a process group of its own, so that a test can kill all of it at once."""
    command = ["mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    store = [
        "--backend-store-uri",
        f"sqlite:///{folder}/server.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    environment = clean_environment(folder, real=True) | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command + store, env=environment, start_new_session=True, **quiet)
    wait_for(lambda: answers(port))
    return server


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_for(happened: Callable[[], bool]) -> None:
    """Look again and again, for a minute or two: a busy machine is slow, not wrong."""
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.services
def test_a_server_killed_in_the_middle_stops_no_training(changed: Pipeline, tmp_path: Path) -> None:
    changed.params(lambda values: values["models"]["random"].update(epochs=200))
    port = free_port()
    server = start_server(tmp_path, port)
    uri = f"http://127.0.0.1:{port}"
    environment = clean_environment(changed.root) | {"MLFLOW_TRACKING_URI": uri}
    training = subprocess.Popen(
        ["dvc", "repro", "train@random"], cwd=changed.root, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for(lambda: any(run.data.metrics for run in runs_at(uri)))
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    said = training.communicate()[1]
    assert training.returncode == 0
    assert said.count("tracking:") == 1
    tracked = {path.name: path.read_bytes() for path in (changed.root / "models/random").iterdir()}
    changed.run("python", "stages/train.py", "random")  # by hand: without tracking
    assert {path.name: path.read_bytes() for path in (changed.root / "models/random").iterdir()} == tracked
    server = start_server(tmp_path, port)
    try:
        did(changed, MLFLOW_TRACKING_URI=uri)
        [run] = [run for run in runs_at(uri) if run.data.tags["model"] == "random"]
        points = MlflowClient(uri).get_metric_history(run.info.run_id, "val/psnr_db")
        assert sorted(point.step for point in points) == list(range(1, 201))
        assert run.info.status == "FINISHED"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def runs_at(uri: str) -> list:
    client = MlflowClient(uri)
    found = client.get_experiment_by_name("mnist-denoising")
    return [] if found is None else client.search_runs([found.experiment_id])


def test_a_model_is_not_logged_again_when_the_tag_that_tells_of_it_is_lost(pipeline: Pipeline, tmp_path: Path) -> None:
    copied = pipeline.copy(tmp_path / "copy")
    client = MlflowClient(f"sqlite:///{copied.root}/mlflow.db")
    experiment = client.get_experiment_by_name("mnist-denoising").experiment_id
    before = {model.model_id for model in client.search_logged_models([experiment])}
    run = client.search_runs([experiment], "tags.model = 'fixed'")[0]
    client.delete_tag(run.info.run_id, "model.md5")  # as if sync had died right after logging
    copied.run("denoise", "sync")
    assert {model.model_id for model in client.search_logged_models([experiment])} == before
    assert client.get_run(run.info.run_id).data.tags["model.md5"] == run.data.tags["model.md5"]
