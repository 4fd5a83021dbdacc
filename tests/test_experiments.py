"""DVC's experiments, one after another and from a queue with two workers: each is a run with its name."""

import subprocess
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from pipeline import BIN, Pipeline, clean_environment

from domain_denoiser.runs import dvc_lock, revisions


def names_by_key(pipeline: Pipeline) -> dict[str, str]:
    """Key -> the experiments that the run is tagged with, of every run in the project's store, all of them finished."""
    client = MlflowClient(f"sqlite:///{pipeline.root}/mlflow.db")
    [experiment] = [found for found in client.search_experiments() if found.name == "mnist-denoising"]
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len({run.data.tags["key"] for run in runs}) == len(runs)
    assert all("psnr_db_0.5" in run.data.metrics and run.data.params["epochs"] for run in runs)
    return {run.data.tags["key"]: run.data.tags.get("experiments", "") for run in runs}


def wait_for_queue(pipeline: Pipeline) -> None:
    deadline = time.monotonic() + 240
    while any(state in (said := pipeline.run("dvc", "queue", "status").stdout) for state in ("Queued", "Running")):
        assert time.monotonic() < deadline, said
        time.sleep(3)
    assert "Failed" not in said


@pytest.mark.services
def test_every_experiment_is_a_run_with_its_name(pipeline: Pipeline, tmp_path: Path, monkeypatch) -> None:
    changed = pipeline.copy(tmp_path / "copy")
    before = names_by_key(changed)
    for name, epochs in (("queued-a", 3), ("queued-b", 4), ("queued-c", 6)):
        changed.run("dvc", "exp", "run", "--queue", "--name", name, "-S", f"models.fixed.epochs={epochs}")
    # The real one, as its workers outlive it, and with files for what they say: a pipe would be read until they end.
    started = (BIN / "dvc", "queue", "start", "--jobs", "2")
    with (tmp_path / "said").open("w") as said:
        subprocess.run(
            started, cwd=changed.root, env=clean_environment(changed.root), check=True, stdout=said, stderr=said
        )
    wait_for_queue(changed)
    changed.run("dvc", "exp", "run", "--name", "here", "-S", "models.fixed.epochs=5")
    changed.run("denoise", "sync", "--all-commits")

    monkeypatch.chdir(changed.root)
    commits = dict(revisions.experiments())
    assert set(commits) == {"queued-a", "queued-b", "queued-c", "here"}
    keys = {
        name: dvc_lock.locked(revisions.show(commit, "dvc.lock"), name)["train@fixed"].key
        for name, commit in commits.items()
    }
    after = names_by_key(changed)
    assert after.keys() == before.keys() | set(keys.values())
    assert {name: after[key] for name, key in keys.items()} == {name: name for name in keys}
    assert not list((changed.root / ".dvc/tmp").rglob("mlflow.db"))

    # What is applied is what the working directory is; what is removed has no name any more, but the work stays.
    changed.run("dvc", "exp", "apply", "queued-a")
    assert dvc_lock.workspace()["train@fixed"].key == keys["queued-a"]
    said = changed.run("denoise", "sync").stdout
    assert f"fixed        {keys['queued-a'][:12]}  unchanged" in said
    changed.run("dvc", "exp", "remove", "queued-a", "queued-b")
    changed.run("denoise", "sync")
    after = names_by_key(changed)
    assert {name: after[key] for name, key in keys.items()} == {
        "queued-a": "",
        "queued-b": "",
        "queued-c": "queued-c",
        "here": "here",
    }
