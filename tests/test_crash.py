"""Real SIGKILLs: where they hurt most, at random moments, and of a training whose run MLflow already shows."""

import random
import signal
import subprocess
import time
from pathlib import Path

import at_once
import crash
import pandas
import psutil
import pytest
from mlflow.tracking import MlflowClient
from pipeline import Pipeline, clean_environment

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def crasher(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> crash.Crasher:
    copied = pipeline.copy(tmp_path_factory.mktemp("killed") / "a copy")
    crash.lengthen(copied)
    return crash.Crasher(copied)


@pytest.mark.parametrize("what", crash.AIMED)
def test_kills_at_moments_that_matter_are_survived(crasher: crash.Crasher, what: str) -> None:
    """While a checkpoint is written, between two files, while DVC writes dvc.lock, in the middle of a sync."""
    hit, wrong = crasher.survive_aimed(what, 4, random.Random(2))
    assert wrong == []
    assert hit


def test_kills_at_any_moment_are_survived(crasher: crash.Crasher) -> None:
    """Of real processes, all at once or one alone; `make crash` has two hundred of them."""
    for planned in crash.plan(6, seed=2):
        told, wrong = crasher.survive(planned)
        assert wrong == [], (planned, told)


def test_a_killed_training_goes_on_in_the_same_run(pipeline: Pipeline, tmp_path: Path):
    changed = pipeline.copy(tmp_path / "copy")

    def longer(values: dict) -> None:
        values["models"]["fixed"]["epochs"] = 240  # killed long before that

    changed.params(longer)
    process = subprocess.Popen(
        ["dvc", "repro", "train@fixed"],
        cwd=changed.root,
        env=clean_environment(changed.root, real=True),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    client = MlflowClient(f"sqlite:///{changed.root}/mlflow.db")
    experiment = client.get_experiment_by_name("mnist-denoising").experiment_id

    def running() -> list:
        return client.search_runs([experiment], "params.epochs = '240'")

    # Until MLflow shows points of it: tracking has come up, and some epochs are kept.
    while not (found := running()) or "val/psnr_db" not in found[0].data.metrics:
        assert process.poll() is None
        time.sleep(0.05)
    for child in [*psutil.Process(process.pid).children(recursive=True), process]:
        child.send_signal(signal.SIGKILL)
    process.wait()
    kept = sorted((changed.root / ".running/models/fixed").glob("*.checkpoint"))
    assert len(kept) in (2, 3)  # the oldest of three goes after the newest is there

    done = changed.run("dvc", "repro", "train@fixed")
    changed.run("denoise", "sync")
    assert f"goes on after epoch {int(kept[-1].stem)}" in done.stderr
    [run] = running()
    assert run.info.run_id == found[0].info.run_id
    assert run.info.status == "FINISHED"
    history = pandas.read_csv(changed.root / "models/fixed/history.csv")
    points = client.get_metric_history(run.info.run_id, "val/psnr_db")
    assert sorted((point.step, point.value) for point in points) == list(zip(history["epoch"], history["val_psnr_db"]))
    assert list(history["epoch"]) == list(range(1, 241))
    # The same bytes as without the kill.
    once = (changed.root / "dvc.lock").read_bytes()
    changed.run("dvc", "repro", "--force", "--no-run-cache", "train@fixed")
    assert (changed.root / "dvc.lock").read_bytes() == once


def test_four_reproductions_at_once_leave_what_one_would(pipeline: Pipeline, tmp_path: Path):
    copied = pipeline.copy(tmp_path / "copy")
    ended, wrong = at_once.race(copied, crash.files(copied.root), real=False)
    assert wrong == []
    assert len(ended) == at_once.AT_ONCE
    assert "ended well" in ended
