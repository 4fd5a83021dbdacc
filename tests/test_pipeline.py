"""The real `dvc repro` on a small real sample: what it makes, what MLflow shows, what a change reruns."""

import json
import os
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas
import pytest
import torch
from mlflow.tracking import MlflowClient
from pipeline import Pipeline

from domain_denoiser.runs import dvc_lock

MODELS = ("plain", "fixed", "random", "conv")
EVALUATED = {"evaluate-noisy", "summarise"}
EVALUATED |= {f"{stage}@{name}" for stage in ("recognise", "evaluate", "figures") for name in MODELS}
REGIMES = ("plain", "fixed", "random")
LEVELS = ("0.0", "0.1", "0.25", "0.5", "0.75", "1.0")


@pytest.fixture(scope="module")
def client(pipeline: Pipeline) -> MlflowClient:
    return MlflowClient(f"sqlite:///{pipeline.root}/mlflow.db")


@pytest.fixture(scope="module")
def runs(client: MlflowClient) -> dict:
    [experiment] = [found for found in client.search_experiments() if found.name == "mnist-denoising"]
    return {run.data.tags["model"]: run for run in client.search_runs([experiment.experiment_id])}


@pytest.fixture
def changed(pipeline: Pipeline, tmp_path: Path) -> Pipeline:
    """A copy that a test may change."""
    return pipeline.copy(tmp_path / "copy")


def test_everything_is_made(pipeline: Pipeline) -> None:
    for name in MODELS:
        for file in ("model.safetensors", "model.json", "history.csv", "platform.json"):
            assert (pipeline.root / "models" / name / file).stat().st_size > 0
        for figure in ("examples.png", "learning_curves.png"):
            assert (pipeline.root / "reports/figures" / name / figure).read_bytes().startswith(b"\x89PNG")
        history = pandas.read_csv(pipeline.root / f"models/{name}/history.csv")
        assert list(history["epoch"]) == [1, 2]
    for regime in REGIMES:
        for split in ("train", "val", "gate"):
            images = np.load(pipeline.root / f"data/noisy/{regime}/{split}.npy")
            sigma = np.load(pipeline.root / f"data/noisy/{regime}/{split}_sigma.npy")
            assert images.dtype == np.uint8
            assert images.shape == (len(sigma), 28, 28)
    for sigma in LEVELS:
        for split in ("test", "gate"):
            assert (pipeline.root / f"data/noisy/test/{split}_{sigma}.npy").exists()


def test_metrics_have_every_model_and_noise_level(pipeline: Pipeline) -> None:
    models = json.loads((pipeline.root / "reports/metrics.json").read_text())["models"]
    assert set(models) == {"noisy", *MODELS}
    for levels in models.values():
        assert tuple(levels) == LEVELS
        for values in levels.values():
            assert set(values) == {"psnr_db", "psnr_db_global", "mse", "ssim"}
    assert models["noisy"]["0.0"]["psnr_db"] == 100.0
    assert models["fixed"]["0.5"]["psnr_db"] > models["noisy"]["0.5"]["psnr_db"]


def test_nothing_temporary_is_left(pipeline: Pipeline) -> None:
    for folder in ("data", "models", "reports"):
        assert not [path for path in (pipeline.root / folder).rglob(".*") if path.name != ".gitignore"]


def test_runs_show_what_went_in_and_came_out(pipeline: Pipeline, client: MlflowClient, runs: dict) -> None:
    assert set(runs) == set(MODELS)
    stages = dvc_lock.locked((pipeline.root / "dvc.lock").read_bytes(), "dvc.lock")
    metrics = json.loads((pipeline.root / "reports/metrics.json").read_text())["models"]
    head = pipeline.run("git", "rev-parse", "HEAD").stdout.strip()
    for name, run in runs.items():
        stage = stages[f"train@{name}"]
        assert run.info.status == "FINISHED"
        assert run.data.params["epochs"] == "2"
        assert run.data.params["regime"] == ("random" if name == "conv" else name)
        assert run.data.params["regime.law"] in ("constant", "uniform")
        tags = run.data.tags
        assert (tags["key"], tags["stage"], tags["cmd"]) == (stage.key, stage.name, stage.cmd)
        assert (tags["git.commit"], tags["git.dirty"]) == (head, "false")
        assert {key.removeprefix("dep/"): md5 for key, md5 in tags.items() if key.startswith("dep/")} == stage.deps
        history = pandas.read_csv(pipeline.root / f"models/{name}/history.csv")
        for column, key in (("train_loss", "train/loss"), ("val_psnr_db", "val/psnr_db")):
            points = client.get_metric_history(run.info.run_id, key)
            assert [(point.step, point.value) for point in points] == list(zip(history["epoch"], history[column]))
        for metric in ("psnr_db", "psnr_db_global", "mse", "ssim"):
            points = client.get_metric_history(run.info.run_id, f"test/{metric}")
            wanted = {round(10_000 * float(sigma)): values[metric] for sigma, values in metrics[name].items()}
            assert {point.step: point.value for point in points} == wanted
        inputs = {found.dataset.name: found.dataset.digest for found in run.inputs.dataset_inputs}
        locked = stage.deps | stages[f"evaluate@{name}"].deps
        assert inputs == {path: md5 for path, md5 in locked.items() if path.startswith("data/")}
        figures = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert figures == {"examples.png", "learning_curves.png", "psnr_against_noise.png"}


def test_the_logged_model_restores_as_the_stored_one_does(
    pipeline: Pipeline, runs: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = np.load(pipeline.root / "data/noisy/test/test_0.5.npy")[:7]
    pipeline.run("denoise", "restore", "--model", "fixed", "data/noisy/test/test_0.5.npy", "restored.npy")
    stored = np.load(pipeline.root / "restored.npy")[:7] / 255
    (pipeline.root / "restored.npy").unlink()
    given = (noisy[:, None] / 255).astype(np.float32)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    mlflow.set_tracking_uri(f"sqlite:///{pipeline.root}/mlflow.db")
    model = f"runs:/{runs['fixed'].info.run_id}/model"
    for restored in (
        mlflow.pytorch.load_model(model)(torch.from_numpy(given)).detach().numpy(),
        mlflow.pyfunc.load_model(model).predict(given),
    ):
        assert np.abs(restored[:, 0] - stored).max() <= 0.5 / 255 + 1e-6
    assert mlflow.models.get_model_info(model).signature is not None


def test_restoring_freshly_corrupted_digits_is_as_good_as_metrics_json_says(pipeline: Pipeline, tmp_path: Path) -> None:
    """Noise and PSNR are written anew here, in NumPy: nothing is shared with the evaluation."""
    clean = np.load(pipeline.root / "data/clean/test_images.npy") / 255
    noisy = np.clip(clean + 0.5 * np.random.default_rng(7).standard_normal(clean.shape), 0, 1)
    np.save(tmp_path / "noisy.npy", noisy.astype(np.float32))
    pipeline.run("denoise", "restore", "--model", "fixed", f"{tmp_path}/noisy.npy", f"{tmp_path}/restored.npy")
    error = ((np.load(tmp_path / "restored.npy") - clean) ** 2).mean((1, 2))
    metrics = json.loads((pipeline.root / "reports/metrics.json").read_text())["models"]
    assert -10 * np.log10(error).mean() == pytest.approx(metrics["fixed"]["0.5"]["psnr_db"], abs=0.1)


def test_it_tracks_while_it_trains(changed: Pipeline) -> None:
    changed.params(lambda values: values["models"]["plain"].update(epochs=60))
    changed.run("dvc", "repro", "train@plain")
    client = MlflowClient(f"sqlite:///{changed.root}/mlflow.db")
    [experiment] = [found for found in client.search_experiments() if found.name == "mnist-denoising"]
    [run] = client.search_runs([experiment.experiment_id], "params.epochs = '60'")
    assert run.info.status == "FINISHED"
    assert len(client.get_metric_history(run.info.run_id, "val/psnr_db")) == 60


def test_nothing_runs_twice(pipeline: Pipeline) -> None:
    assert pipeline.stages_run() == set()
    assert "unchanged" in pipeline.run("denoise", "sync").stdout


def test_training_again_gives_equal_bytes(changed: Pipeline) -> None:
    before = (changed.root / "dvc.lock").read_bytes()
    (changed.root / ".dvc/cache/runs").rename(changed.root / "no-run-cache")
    assert changed.stages_run("--force", "--single-item", "train@random", "corrupt@random", "download") == {
        "train@random",
        "corrupt@random",
        "download",
    }
    assert (changed.root / "dvc.lock").read_bytes() == before
    said = changed.run("denoise", "sync", "--json").stdout
    assert [outcome["did"] for outcome in json.loads(said)["outcomes"]] == [[]] * len(MODELS)


@pytest.mark.services
def test_a_changed_sigma_reruns_its_own_branch_only(changed: Pipeline) -> None:
    changed.params(lambda values: values["noisy"]["fixed"].update(sigma=0.4))
    assert changed.stages_run() == {"corrupt@fixed", "summarise"} | {
        f"{stage}@fixed" for stage in ("train", "recognise", "evaluate", "figures")
    }


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("stages/summarise.py", {"summarise"}),
        ("stages/figures.py", {f"figures@{model}" for model in MODELS}),
        (
            "src/domain_denoiser/evaluation/figures.py",
            {
                "evaluate-noisy",
                "summarise",
                *(f"{stage}@{model}" for stage in ("evaluate", "figures") for model in MODELS),
            },
        ),
        ("src/domain_denoiser/domain/fitting.py", {f"recognise@{model}" for model in MODELS}),
        ("src/domain_denoiser/training/loop.py", {"train@plain", "train@fixed", "train@random", "train@conv"}),
        ("src/domain_denoiser/data/sources.py", {"download"}),
        ("src/domain_denoiser/runs/mlflow_store.py", set()),
        ("src/domain_denoiser/cli.py", set()),
    ],
)
def test_a_changed_line_reruns_what_reads_it(changed: Pipeline, file: str, stages: set[str]) -> None:
    with (changed.root / file).open("a") as opened:
        opened.write("# another line\n")
    printed = changed.run("dvc", "status").stdout
    assert {line.strip(":") for line in printed.splitlines() if line.endswith(":") and line[0] not in "\t "} == stages


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda values: values["models"]["plain"].update(epochs=0), "models.plain.epochs is 0, but"),
        (lambda values: values["models"]["fixed"].update(epoch=3), "models.fixed: epoch is not a known key"),
        (lambda values: values.pop("seed"), "seed is missing"),
    ],
)
def test_bad_params_end_in_one_sentence(changed: Pipeline, change, sentence: str) -> None:
    changed.params(change)
    done = changed.run("python", "stages/train.py", "fixed", check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: params.yaml: {sentence}")
    assert done.stderr.count("\n") == 1


def test_a_failed_stage_leaves_nothing_half_written(changed: Pipeline) -> None:
    shutil.rmtree(changed.root / "models/fixed")
    noisy = changed.root / "data/noisy/fixed/train.npy"
    whole = noisy.read_bytes()
    noisy.chmod(0o644)
    noisy.write_bytes(whole[: len(whole) // 2])
    done = changed.run("python", "stages/train.py", "fixed", check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: data/noisy/fixed/train.npy is not a .npy array")
    assert not (changed.root / "models/fixed").exists()


def test_fresh_names_what_would_run(pipeline: Pipeline, tmp_path: Path) -> None:
    copied = pipeline.copy(tmp_path / "a copy")
    said = copied.run("denoise", "fresh").stdout
    assert said.split(maxsplit=1) == ["ok", "dvc.lock is what code and params say\n"]
    copied.params(lambda values: values["models"]["fixed"].update(hidden=9))
    shutil.rmtree(copied.root / "data")  # as in a checkout
    stale = copied.run("denoise", "fresh", check=False)
    assert stale.returncode == 1
    assert "train@fixed" in stale.stdout
    assert "train@plain" not in stale.stdout
    being_written = {copied.root.as_posix(): {"pid": os.getpid(), "cmd": "dvc repro"}}
    (copied.root / ".dvc/tmp").mkdir(exist_ok=True)
    (copied.root / ".dvc/tmp/rwlock").write_text(json.dumps({"read": {}, "write": being_written}))
    busy = copied.run("denoise", "fresh", check=False)
    assert (busy.returncode, busy.stdout) == (1, "")
    assert "is busy" in busy.stderr
