"""A team's server, without containers: MLflow on PostgreSQL with its files on S3, and several syncs into it at once."""

import contextlib
import csv
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import servers
import torch
import warm
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from ruamel.yaml import YAML

MODELS = ["conv", "fixed", "plain", "random"]
BATCH = 6
OTHER = "cells-denoising"  # the experiment of another domain on the same server
TRAINING = {"train/loss": "train_loss", "val/loss": "val_loss", "val/psnr_db": "val_psnr_db"}


class Filled(NamedTuple):
    """A server whose empty store several syncs met at once."""

    root: Path  # of the copied pipeline, which has no store of its own any more
    url: str
    ended: list[tuple[int, str, str]]  # exit status, standard output and error of each sync

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.url)

    @property
    def runs(self) -> list[Run]:
        """Every run of MNIST there is, in the order of their names."""
        experiments = [found.experiment_id for found in self.client.search_experiments() if found.name != OTHER]
        return sorted(self.client.search_runs(experiments), key=lambda run: run.data.tags["model"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an MLflow server on PostgreSQL and S3. Only it knows their passwords."""
    programs = servers.postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is missing: apt-get install postgresql")
    folder = tmp_path_factory.mktemp("server")
    with contextlib.ExitStack() as stack:
        store, password = stack.enter_context(servers.postgres(programs))
        storage = stack.enter_context(servers.s3(folder))
        extra = {**password, **servers.S3_KEYS, "MLFLOW_S3_ENDPOINT_URL": storage}
        yield stack.enter_context(servers.mlflow(folder, store, f"s3://{servers.BUCKET}/artifacts", extra))


@pytest.fixture(scope="module")
def filled(server: str, pipeline, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    root = tmp_path_factory.mktemp("team") / "clone"
    shutil.copytree(pipeline.root, root, symlinks=True)
    (root / "mlflow.db").unlink()  # so that nothing can come from there
    shutil.rmtree(root / "mlartifacts")
    syncs = [start_sync(root, server) for _ in range(BATCH)]
    try:
        ended = [(*sync.communicate(), sync.returncode) for sync in syncs]
    finally:
        for sync in syncs:
            sync.kill()
            sync.wait()
    return Filled(root, server, [(status, out, error) for out, error, status in ended])


@pytest.fixture
def team(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> Filled:
    """The same, with MLflow in this process pointing there, as a member of the team has it: one variable."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", filled.url)
    return filled


def start_sync(root: Path, url: str) -> subprocess.Popen:
    environment = servers.environment(MLFLOW_TRACKING_URI=url, PYTHONPATH=str(root / "src"))
    return subprocess.Popen(
        [warm.programs() / "denoise", "sync", "--json"],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def everything(filled: Filled) -> list[dict]:
    """All that the store holds of each run, to be compared."""
    return [
        run.to_dictionary()
        | {"history": {name: points(filled, run, name) for name in run.data.metrics}}
        | {"figures": [file.path for file in filled.client.list_artifacts(run.info.run_id)]}
        for run in filled.runs
    ]


def points(filled: Filled, run: Run, name: str) -> dict[int, float]:
    """The points of a metric, step -> value; a step that is there twice would be a point too many."""
    history = filled.client.get_metric_history(run.info.run_id, name)
    assert len(history) == len({point.step for point in history})
    return {point.step: point.value for point in history}


def test_six_syncs_at_once_make_one_set_of_runs(filled: Filled) -> None:
    assert [(status, error) for status, _, error in filled.ended] == [(0, "")] * BATCH
    assert [run.data.tags["model"] for run in filled.runs] == MODELS
    assert all(run.info.run_name == f"{run.data.tags['model']}-{run.data.tags['key'][:8]}" for run in filled.runs)
    assert {run.info.status for run in filled.runs} == {"FINISHED"}
    assert len({run.data.tags["key"] for run in filled.runs}) == len(MODELS)
    outcomes = [outcome for _, out, _ in filled.ended for outcome in json.loads(out)["outcomes"]]
    assert sorted(outcome["model"] for outcome in outcomes if "run created" in outcome["did"]) == MODELS
    assert sorted(outcome["model"] for outcome in outcomes if "model" in outcome["did"]) == MODELS


def test_every_point_of_the_files_is_there_once(filled: Filled) -> None:
    means = json.loads((filled.root / "reports/metrics.json").read_text())["models"]
    for run in filled.runs:
        name = run.data.tags["model"]
        with (filled.root / f"models/{name}/history.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        for metric, column in TRAINING.items():
            assert points(filled, run, metric) == {int(row["epoch"]): float(row[column]) for row in rows}
        wanted = {round(10_000 * float(sigma)): values["psnr_db"] for sigma, values in means[name].items()}
        assert points(filled, run, "test/psnr_db") == wanted
        assert run.data.metrics["psnr_db_0.5"] == means[name]["0.5"]["psnr_db"]


def test_datasets_carry_the_hashes_of_dvc(filled: Filled) -> None:
    stages = YAML(typ="safe").load(filled.root / "dvc.lock")["stages"]
    for run in filled.runs:
        deps = [dep for stage in ("train", "evaluate") for dep in stages[f"{stage}@{run.data.tags['model']}"]["deps"]]
        wanted = {(dep["path"], dep["md5"]) for dep in deps if dep["path"].startswith("data/")}
        assert wanted == {(found.dataset.name, found.dataset.digest) for found in run.inputs.dataset_inputs}


def test_figures_come_back_byte_for_byte(team: Filled, tmp_path: Path) -> None:
    drawn = team.root / "reports/figures"
    for run in team.runs:
        for path in [drawn / "psnr_against_noise.png", *(drawn / run.data.tags["model"]).glob("*.png")]:
            fetched = team.client.download_artifacts(run.info.run_id, path.name, str(tmp_path))
            assert Path(fetched).read_bytes() == path.read_bytes()


@pytest.mark.filterwarnings("ignore:.*AnyType")  # MLflow's, about its own type hints, when it is imported
def test_models_load_and_agree_with_the_stored_weights(team: Filled) -> None:
    import mlflow

    from domain_denoiser.networks import stored

    noisy = np.load(team.root / "data/noisy/test/test_0.5.npy")[:5, None].astype(np.float32) / 255
    for run in team.runs:
        uri = f"runs:/{run.info.run_id}/model"
        with torch.no_grad():
            wanted = stored.load(team.root / "models" / run.data.tags["model"], "cpu")(torch.from_numpy(noisy)).numpy()
            exported = mlflow.pytorch.load_model(uri)(torch.from_numpy(noisy)).numpy()
        served = mlflow.pyfunc.load_model(uri).predict(noisy)
        np.testing.assert_allclose(exported, wanted, atol=1e-6)
        np.testing.assert_array_equal(served, exported)


def test_another_sync_changes_nothing(filled: Filled) -> None:
    before = everything(filled)
    sync = start_sync(filled.root, filled.url)
    out, error = sync.communicate()
    assert (sync.returncode, error) == (0, "")
    said = json.loads(out)
    assert [outcome["did"] for outcome in said["outcomes"]] == [[]] * len(MODELS)
    assert [said[name] for name in ("missing", "retagged", "closed")] == [[]] * 3
    assert everything(filled) == before


def named(filled: Filled) -> dict[str, object]:
    """What the server has by names and ids beside runs: experiments, logged and registered models, without OTHER's."""
    experiments = [found for found in filled.client.search_experiments() if found.name != OTHER]
    return {
        "experiments": [dict(found) for found in experiments],
        "logged": [
            model.to_dictionary()
            for found in experiments
            for model in filled.client.search_logged_models([found.experiment_id])
        ],
        "registered": [dict(found) for found in filled.client.search_registered_models() if "cells" not in found.name],
    }


def test_another_domain_touches_nothing_of_this_one(filled: Filled, tmp_path: Path) -> None:
    """Two clones with two domains on one server; the work is the same, so even the keys of the runs are."""
    before, names = everything(filled), named(filled)
    root = tmp_path / "cells"
    shutil.copytree(filled.root, root, symlinks=True)
    written = (root / "params.yaml").read_text()
    assert written.count("name: mnist") == 1
    (root / "params.yaml").write_text(written.replace("name: mnist", "name: cells"))
    sync = start_sync(root, filled.url)
    out, error = sync.communicate()
    assert (sync.returncode, error) == (0, "")
    assert ["run created" in outcome["did"] for outcome in json.loads(out)["outcomes"]] == [True] * len(MODELS)
    other = filled.client.get_experiment_by_name(OTHER)
    keys = {run.data.tags["key"] for run in filled.client.search_runs([other.experiment_id])}
    assert keys == {run.data.tags["key"] for run in filled.runs}
    assert (everything(filled), named(filled)) == (before, names)
