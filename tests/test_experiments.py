"""DVC's experiments, one after another and from a queue: each is a run with its name, and uses its own source."""

import subprocess
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from pipeline import BIN, PATIENCE_S, Pipeline, clean_environment

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


def run_queue(pipeline: Pipeline, workers: int, names: set[str]) -> None:
    """Start DVC's queue, and wait until it has run the experiments of these names.

    The real one, as its workers outlive it, and with a file for what they say: a pipe would be read until they end, and
    that they do not always. Git is asked for what they made: `dvc queue status` may read a message of a worker that is
    not yet written, and ends with an error then.
    """
    command = (BIN / "dvc", "queue", "start", "--jobs", str(workers))
    with (pipeline.root.parent / "said").open("w") as said:
        subprocess.run(
            command, cwd=pipeline.root, env=clean_environment(pipeline.root), check=True, stdout=said, stderr=said
        )
    deadline = time.monotonic() + PATIENCE_S
    copies = pipeline.root / ".dvc/tmp/exps"
    while names - {ref.rpartition("/")[2] for ref in references(pipeline)} or list(copies.glob("tmp*")):
        assert "refs/exps/celery/failed" not in references(pipeline)
        assert time.monotonic() < deadline, references(pipeline)
        time.sleep(3)


def references(pipeline: Pipeline) -> list[str]:
    """The names that DVC gave to experiments, and to the lists of its queue, in git."""
    return pipeline.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()


@pytest.mark.services
def test_every_experiment_is_a_run_with_its_name(pipeline: Pipeline, tmp_path: Path, monkeypatch) -> None:
    changed = pipeline.copy(tmp_path / "copy")
    before = names_by_key(changed)
    for name, epochs in (("queued-a", 3), ("queued-b", 4), ("queued-c", 6)):
        changed.run("dvc", "exp", "run", "--queue", "--name", name, "-S", f"models.fixed.epochs={epochs}")
    run_queue(changed, workers=2, names={"queued-a", "queued-b", "queued-c"})
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


@pytest.mark.services
def test_a_queued_experiment_uses_the_source_of_its_own_copy(pipeline: Pipeline, tmp_path: Path) -> None:
    changed = pipeline.copy(tmp_path / "copy")
    source = changed.root / "src/domain_denoiser/training/loop.py"
    before = source.read_text()
    changed_line = before.replace("return peak * 0.5 * (1.0 + math.cos(math.pi * (done - 0.2) / 0.8))", "return 0.125")
    assert changed_line != before
    source.write_text(changed_line)
    changed.run("dvc", "exp", "run", "--queue", "--name", "other-source")
    source.write_text(before)
    run_queue(changed, workers=1, names={"other-source"})
    [ref] = [name for name in references(changed) if name.endswith("/other-source")]
    history = changed.run("git", "show", f"{ref}:models/plain/history.csv").stdout
    assert history.splitlines()[-1].endswith(",0.125")
    assert not (changed.root / "models/plain/history.csv").read_text().splitlines()[-1].endswith(",0.125")
