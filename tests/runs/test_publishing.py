"""What MLflow shows of a project: a few files and a dvc.lock made up here, published into a real SQLite store."""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow.tracking import MlflowClient
from ruamel.yaml import YAML

from domain_denoiser.base import process_identity
from domain_denoiser.base.errors import BadInput
from domain_denoiser.networks import architectures, stored
from domain_denoiser.networks.mlp import Settings as MlpSettings
from domain_denoiser.networks.unet import Settings as UnetSettings
from domain_denoiser.runs import addresses, champion, dvc_lock, mlflow_store, registry, revisions, sync

AVX2 = {"system": "Linux", "cpu_capability": "AVX2"}
AVX512 = {"system": "Linux", "cpu_capability": "AVX512"}
KINDS = ("model.safetensors", "model.json")
MLP = MlpSettings(architecture="mlp", hidden=2, output="sigmoid")
DOMAIN = {
    "name": "mnist",
    "title": "MNIST",
    "images": "digits",
    "look": "light on dark",
    "dataset": None,
    "authors": None,
    "licence": None,
}
REGISTERED = "mnist-denoiser"
UNET = UnetSettings(
    architecture="unet",
    image_channels=1,
    residual=False,
    fine_channels=2,
    coarse_channels=2,
    coarse_blocks=1,
    fine_blocks=1,
)
COLOUR = UNET.model_copy(update={"image_channels": 3})


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


class Project:
    """The working directory: a repository with a params.yaml, models, and the dvc.lock that says so."""

    def __init__(self, root: Path) -> None:
        self.root, self.entries, self.domain = root, {}, DOMAIN
        (root / ".dvc").mkdir()
        (root / ".dvc/config").touch()
        (root / ".gitignore").write_text("/models/*/*.safetensors\n/models/*/*.json\nmlflow.db*\nmlartifacts\n/.dvc\n")
        git("init", "-q")
        git("config", "user.name", "Tester")
        git("config", "user.email", "tester@example.invalid")

    def train(self, name: str, seed: int = 0, platform: dict = AVX2, bytes_seed: int = 0, network=MLP) -> str:
        """Train a model and return its key, which follows from `seed`; its bytes follow from bytes_seed."""
        folder = self.root / "models" / name
        torch.manual_seed(bytes_seed)
        stored.save(folder, architectures.build(network).state_dict(), network)
        (folder / "platform.json").write_text(json.dumps(platform))
        rows = [f"{epoch},{0.5 / epoch + bytes_seed},0.5,10.5,0.001" for epoch in (1, 2)]
        (folder / "history.csv").write_text("epoch,train_loss,val_loss,val_psnr_db,learning_rate\n" + "\n".join(rows))
        outs = [folder / file for file in ("model.safetensors", "model.json", "platform.json", "history.csv")]
        self.entries[f"train@{name}"] = {
            "cmd": f"python stages/train.py {name}",
            "params": {"params.yaml": {"seed": seed}},
            "outs": [{"path": str(out.relative_to(self.root)), "md5": md5(out.read_bytes())} for out in outs],
        }
        self.write([entry.partition("@")[2] for entry in self.entries])
        return dvc_lock.workspace()[f"train@{name}"].key

    def write(self, names: list[str], seed: int = 0) -> None:
        """dvc.lock, and a params.yaml with these models."""
        with (self.root / "dvc.lock").open("w") as lock:
            YAML().dump({"schema": "2.0", "stages": self.entries}, lock)
        values = {"domain": self.domain, "seed": seed, "models": dict.fromkeys(names, {})}
        (self.root / "params.yaml").write_text(json.dumps(values))

    def commit(self) -> str:
        git("add", "-A")
        git("commit", "-q", "--allow-empty", "-m", "A state")
        return git("rev-parse", "HEAD")

    def promote(self, name: str) -> champion.Champion:
        """Make the model of the working directory the champion."""
        key = dvc_lock.workspace()[f"train@{name}"].key
        files = {f"champion/{kind}": (self.root / "models" / name / kind).read_bytes() for kind in KINDS}
        files["champion/model.onnx"] = b"a graph"
        promoted = champion.Champion(
            model=name,
            key=key,
            files=champion.hashes(files),
            gate_images=f"{'0' * 32}.dir",
            psnr_db={"0.5": 20.0},
            gain_db=None,
            reasons=["held"],
        )
        champion.write(promoted, files)
        return promoted


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of an MLflow store, whose making takes seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments(max_results=1)
    return path


@pytest.fixture
def networks() -> None:
    """Whoever uses it has the networks of runs logged."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path, request) -> Project:
    """A new project. Networks are logged where a test uses `networks`; that takes seconds."""
    if "networks" not in request.fixturenames:
        monkeypatch.setattr(mlflow_store, "_publish_model", lambda *_: None)
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_store, root / "mlflow.db")
    return Project(root)


def synced(project: Project, *commits: str) -> sync.Synced:
    """What `denoise sync` does."""
    store = connected(project)
    history = sync.read_history()
    return sync.merged(
        [
            sync.publish_workspace(store, dvc_lock.current(), history),
            sync.publish_commits(store, commits, history),
            sync.publish_champions(store, history),
            sync.retag(store, history),
        ]
    )


def connected(project: Project) -> mlflow_store.Store:
    return mlflow_store.connect(project.root, retries=0, timeout_s=2)


def shown(project: Project) -> dict[str, str]:
    """Run name -> state."""
    runs = mlflow_store.runs_by_key(connected(project)).values()
    return {run.info.run_name: run.data.tags.get("state") for run in runs}


def test_runs_are_named_after_model_and_key_and_only_this_state_is_shown(project: Project) -> None:
    old = project.train("conv", seed=1)
    project.commit()
    new = project.train("conv", seed=2)
    fixed = project.train("fixed")
    project.commit()
    said = synced(project)
    assert shown(project) == {f"conv-{new[:8]}": "current", f"fixed-{fixed[:8]}": "current"}
    assert said.missing == said.registered == ()
    assert connected(project).client.search_registered_models() == []
    synced(project, *sync.all_commits())
    assert shown(project) == {
        f"conv-{old[:8]}": "history",
        f"conv-{new[:8]}": "current",
        f"fixed-{fixed[:8]}": "current",
    }
    again = synced(project)
    assert again == sync.Synced(outcomes=again.outcomes)
    assert not any(outcome.did for outcome in again.outcomes)


def test_what_one_commit_showed_whole_is_not_looked_at_in_another(project: Project, monkeypatch) -> None:
    """But where equal work gave other bytes, that is found."""
    monkeypatch.setattr(sync.records.Record, "whole", property(lambda record: record.model == "fixed"))
    project.train("fixed")
    for seed in (1, 2):
        project.train("conv", seed=seed)
        project.commit()
    project.train("fixed", bytes_seed=1)
    project.commit()
    said = sync.publish_commits(connected(project), sync.all_commits(), sync.read_history())
    assert [outcome.model for outcome in said.outcomes if outcome.did] == ["fixed", "conv", "conv"]
    assert [outcome.model for outcome in said.outcomes if not outcome.did] == ["fixed", "conv"]
    assert said.contradictions


def test_a_commit_that_gives_a_training_is_named_also_after_one_that_does_not(project: Project, monkeypatch) -> None:
    monkeypatch.setattr(sync.records.Record, "whole", True)
    key = project.train("fixed", seed=1)
    trained = project.commit()  # with another seed in params.yaml
    project.write(["fixed"], seed=1)
    gives = project.commit()
    store = connected(project)
    sync.publish_commits(store, [trained, gives], sync.read_history())
    tags = mlflow_store.runs_by_key(store)[key].data.tags
    assert (tags["git.commit"], tags["git.dirty"]) == (gives, "false")


def test_a_stage_names_the_commit_that_is_checked_out_and_sync_the_first(project: Project) -> None:
    """Reading all of git takes longer with every commit, and a stage would wait for it."""
    key = project.train("fixed")
    first = project.commit()
    project.train("conv")
    second = project.commit()
    store, named = connected(project), []
    for history in (sync.NOT_READ, sync.read_history()):
        sync.publish_workspace(store, dvc_lock.current(), history)
        tags = mlflow_store.runs_by_key(store)[key].data.tags
        named.append((tags["git.commit"], tags["git.dirty"]))
    assert named == [(second, "false"), (first, "false")]


def test_a_model_that_params_yaml_has_no_longer_is_not_shown(project: Project) -> None:
    project.train("old_name")
    key = project.train("new_name")
    project.write(["new_name"])
    project.commit()
    synced(project, *sync.all_commits())
    assert list(shown(project)) == [f"new_name-{key[:8]}"]


def test_runs_of_changed_keys_become_history_in_one_line(project: Project) -> None:
    for name in ("plain", "fixed", "conv"):
        project.train(name, seed=1)
    synced(project)
    for name in ("plain", "fixed", "conv"):
        project.train(name, seed=2)
    said = synced(project)
    assert len(said.history) == 3
    [line] = [line for line in said.as_table().splitlines() if "history" in line]
    assert line.startswith("history now: ")
    assert "tags.state != 'history'" in line
    assert sorted(shown(project).values()) == ["current"] * 3 + ["history"] * 3
    assert synced(project).history == ()


def test_runs_of_an_older_version_get_their_names(project: Project) -> None:
    key = project.train("conv")
    synced(project)
    store = connected(project)
    store.client.update_run(mlflow_store.runs_by_key(store)[key].info.run_id, name="conv")
    assert synced(project).retagged == (f"conv-{key[:8]}",)
    assert list(shown(project)) == [f"conv-{key[:8]}"]


def test_the_champion_of_an_earlier_state_is_shown_and_registered(project: Project) -> None:
    old = project.train("conv", seed=1)
    promoted = project.promote("conv")
    shutil.move(project.root / "champion", project.root.with_name("elsewhere"))
    project.commit()
    new = project.train("conv", seed=2, bytes_seed=2)
    project.commit()
    said = synced(project)  # the champion's files are nowhere
    assert shown(project) == {f"conv-{new[:8]}": "current", f"conv-{old[:8]}": "champion"}
    assert said.as_table().count("not to be found") == 2
    assert connected(project).client.search_registered_models() == []
    shutil.move(project.root.with_name("elsewhere"), project.root / "champion")
    said = synced(project)
    assert said.missing == ()
    version = connected(project).client.get_model_version_by_alias(REGISTERED, "champion")
    assert version.tags["key"] == promoted.key == old
    assert synced(project).registered == ()


def test_a_champion_whose_training_no_commit_has_is_shown_from_its_files(project: Project) -> None:
    old = project.train("conv", seed=1)
    project.promote("conv")
    new = project.train("conv", seed=2, bytes_seed=2)
    project.commit()
    said = synced(project)
    assert shown(project) == {f"conv-{new[:8]}": "current", f"conv-{old[:8]}": "champion"}
    assert said.missing == ()
    version = connected(project).client.get_model_version_by_alias(REGISTERED, "champion")
    assert version.tags["key"] == old


def test_a_champion_of_the_old_form_hides_no_run(project: Project) -> None:
    key = project.train("conv")
    files = {f"models/conv/{kind}": "0" * 32 for kind in KINDS}
    (project.root / "champion.json").write_text(json.dumps({"model": "conv", "files": files}))
    said = synced(project)
    assert list(shown(project)) == [f"conv-{key[:8]}"]
    assert "left out: champion.json is of an old form" in said.as_table()


def test_a_registered_model_without_a_version_goes(project: Project) -> None:
    project.train("conv")
    store = connected(project)
    store.client.create_registered_model(REGISTERED)
    assert synced(project).registered == (f"registered model {REGISTERED} removed: it has no version",)
    assert store.client.search_registered_models() == []


def test_bytes_of_another_kind_of_machine_are_shown_and_no_error(project: Project) -> None:
    key = project.train("conv", platform=AVX2)
    synced(project)
    store = connected(project)
    before = mlflow_store.runs_by_key(store)[key].data
    project.train("conv", platform=AVX512, bytes_seed=1)
    for _ in range(2):
        said = synced(project)
        assert said.contradictions == []
        [sentence] = said.elsewhere
        assert sentence == (
            "train@conv wrote another model.safetensors, history.csv on another kind of machine "
            "(cpu_capability AVX512, first AVX2); MLflow shows the first"
        )
        assert "another kind of machine: train@conv" in said.as_table()
    after = mlflow_store.runs_by_key(store)[key].data
    assert after.metrics == before.metrics
    [tag] = after.tags.keys() - before.tags.keys()
    other = json.loads(after.tags[tag])
    assert other["kind"] == AVX512
    assert other["outs"]["models/conv/model.safetensors"] != before.tags["out/models/conv/model.safetensors"]
    # Each kind is compared with itself.
    project.train("conv", platform=AVX512, bytes_seed=2)
    assert "the same kind of machine" in synced(project).contradictions[0]
    project.train("conv", platform=AVX2, bytes_seed=0)
    assert synced(project).contradictions == []
    project.train("conv", platform=AVX2, bytes_seed=3)
    assert len(synced(project).contradictions) == 2


def test_equal_bytes_of_another_kind_of_machine_are_nothing_to_speak_of(project: Project) -> None:
    project.train("conv", platform=AVX2)
    synced(project)
    project.train("conv", platform=AVX512)
    said = synced(project)
    assert said == sync.Synced(outcomes=said.outcomes)
    assert said.outcomes[0].did == ()


@pytest.mark.usefixtures("networks")
def test_the_champion_of_another_kind_of_machine_is_registered_with_its_own_weights(project: Project) -> None:
    key = project.train("conv", platform=AVX2)
    synced(project)
    project.train("conv", platform=AVX512, bytes_seed=1)
    promoted = project.promote("conv")
    synced(project)
    client = connected(project).client
    version = client.get_model_version_by_alias(REGISTERED, "champion")
    assert version.tags["key"] == key
    logged = client.get_logged_model(version.source.removeprefix("models:/"))
    assert logged.tags["md5"] == promoted.files["champion/model.safetensors"]


def rows(path: Path) -> set[tuple[str, tuple[tuple[str, object], ...]]]:
    """Every row of every table of a store: the table, and the row's columns with their values."""
    found = set()
    with sqlite3.connect(path) as store:
        store.row_factory = sqlite3.Row
        for (table,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            found |= {(table, tuple(dict(row).items())) for row in store.execute(f"SELECT * FROM {table}")}
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def owned(store: mlflow_store.Store) -> set[object]:
    """By what rows are tied to a domain: the ids of its runs and logged models, and its names."""
    runs = [run.info.run_id for run in store.client.search_runs([store.experiment])]
    models = [model.model_id for model in store.client.search_logged_models([store.experiment])]
    return {*runs, *models, store.domain.experiment, store.domain.registered}


def tied(row: tuple[str, tuple[tuple[str, object], ...]], store: mlflow_store.Store, ids: set[object]) -> bool:
    return any(value in ids or (name, str(value)) == ("experiment_id", store.experiment) for name, value in row[1])


@pytest.mark.usefixtures("networks")
@pytest.mark.parametrize("shared", [True, False], ids=["one store, two projects", "a project of another domain now"])
def test_the_domains_of_a_store_touch_nothing_of_each_other(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    path = project.root / "mlflow.db"
    if shared:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.move(path, tmp_path / 'shared.db')}")
        path = tmp_path / "shared.db"
    project.train("conv", seed=1)
    project.commit()
    key = project.train("conv", seed=2, bytes_seed=2)
    project.promote("conv")
    project.commit()
    synced(project, *sync.all_commits())
    digits = connected(project)
    assert digits.local is not shared
    # All that a sync of digits itself would put right.
    run = mlflow_store.runs_by_key(digits)[key].info.run_id
    for name, value in (process_identity.tags(os.getpid()) | {"process.start_ticks": "1"}).items():
        digits.client.set_tag(run, name, value)
    digits.client.update_run(run, status="RUNNING", name="renamed by hand")
    digits.client.set_experiment_tag(digits.experiment, "mlflow.note.content", "A note of somebody.")
    digits.client.update_registered_model(REGISTERED, "Another note.")
    digits.client.set_registered_model_alias(REGISTERED, "challenger", "1")
    digits.client.create_registered_model("mnist-denoiser-2")  # whose name begins alike
    before, kept = rows(path), files(project.root / "mlartifacts")
    ids = owned(digits) | {"mnist-denoiser-2"}

    cells = project
    if shared:
        (tmp_path / "cells").mkdir()
        monkeypatch.chdir(tmp_path / "cells")
        cells = Project(tmp_path / "cells")
    cells.domain = DOMAIN | {"name": "cells"}
    # The same work; with other bytes, where no commit says that it gave the first ones.
    assert cells.train("conv", seed=2, bytes_seed=3 if shared else 2) == key
    store = connected(cells)
    store.client.create_registered_model("cells-denoiser")
    assert (
        bool(registry.publish(store, [], None, None)[0]) is store.local
    )  # the registered model without a version goes
    cells.promote("conv")
    cells.commit()
    said = synced(cells, *sync.all_commits())
    assert "run created" in said.outcomes[0].did and said.contradictions == []
    assert "alias champion on version 1" in said.registered
    cells.train("conv", seed=4, bytes_seed=4)
    (cells.root / "champion.json").unlink()
    assert "alias champion removed" in synced(cells).registered
    store.client.delete_experiment(store.experiment)
    assert connected(cells).experiment == store.experiment

    after = rows(path)
    assert before - after == set()
    assert not [row for row in after - before if tied(row, digits, ids)]
    assert files(project.root / "mlartifacts").items() >= kept.items()
    assert [row for row in after - before if tied(row, store, owned(store))]  # so there was something to look at


def test_the_domain_is_that_of_the_present_params_yaml_at_the_root(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of an old commit, nor of the copy that a queued experiment runs in."""
    old = project.train("conv", seed=1)
    (project.root / "params.yaml").write_text(json.dumps({"models": {"conv": {}}}))  # before there were domains
    project.commit()
    new = project.train("conv", seed=2)
    project.commit()
    synced(project, *sync.all_commits())
    assert set(mlflow_store.runs_by_key(connected(project))) == {old, new}
    copied = tmp_path / "copy"
    copied.mkdir()
    (copied / "params.yaml").write_text(json.dumps({"domain": DOMAIN | {"name": "cells"}}))
    monkeypatch.chdir(copied)
    store = connected(project)
    assert store.domain.name == "mnist"
    assert [found.name for found in store.client.search_experiments()] == ["mnist-denoising", "Default"]


def test_a_params_yaml_without_a_domain_is_one_sentence(project: Project) -> None:
    project.train("conv")
    for domain, said in ((None, "domain is None"), ({"name": "Cells!"}, "domain.name is 'Cells!'")):
        (project.root / "params.yaml").write_text(json.dumps({"domain": domain and DOMAIN | domain}))
        with pytest.raises(BadInput, match=f"params.yaml: {said}"):
            connected(project)


def test_a_training_that_never_ended_gives_way(project: Project) -> None:
    key = project.train("conv")
    store = connected(project)
    with_other = project.train("conv", bytes_seed=1)
    assert with_other == key
    [record] = sync.records.gather(dvc_lock.current(), sync.Contents(None).find)
    unfinished = record._replace(finished=False, outs={}, weights={}, platform={})
    mlflow_store.publish(store, unfinished, mlflow_store.Origin(None, True), {}, with_model=False, replace=True)
    project.train("conv", platform=AVX512)
    assert synced(project).contradictions == []
    assert mlflow_store.runs_by_key(store)[key].data.metrics["train/loss"] == 0.25


@pytest.mark.usefixtures("networks")
@pytest.mark.parametrize(
    ("network", "shape"),
    [(MLP, (3, 1, 28, 28)), (UNET, (3, 1, 40, 52)), (UNET, (1, 1, 9, 63)), (COLOUR, (2, 3, 40, 52))],
    ids=["mlp", "unet", "one image", "colour"],
)
def test_a_logged_model_takes_every_size_that_the_network_takes(project: Project, network, shape) -> None:
    import mlflow

    key = project.train("conv", network=network)
    synced(project)
    uri = f"runs:/{mlflow_store.runs_by_key(connected(project))[key].info.run_id}/model"
    noisy = np.random.default_rng(0).random(shape, np.float32)
    with torch.no_grad():
        wanted = stored.load(project.root / "models/conv", "cpu")(torch.from_numpy(noisy)).numpy()
        loaded = mlflow.pytorch.load_model(uri)(torch.from_numpy(noisy)).numpy()
    np.testing.assert_allclose(loaded, wanted, atol=1e-6)
    served = mlflow.pyfunc.load_model(uri)
    np.testing.assert_allclose(served.predict(noisy), wanted, atol=1e-6)
    with pytest.raises(mlflow.MlflowException, match="shape"):
        served.predict(np.zeros((1, 4 - shape[1], *shape[2:]), np.float32))


def test_a_moved_project_is_told_the_command_that_helps(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write([])
    connected(project)
    moved = project.root.with_name("moved here")
    project.root.rename(moved)
    monkeypatch.chdir(moved)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow keeps it there
    with pytest.raises(BadInput, match="this folder was moved or copied; `mv .* && denoise sync`") as told:
        mlflow_store.connect(moved, retries=0, timeout_s=2)
    command = str(told.value).partition("`")[2].partition(" &&")[0]
    subprocess.run(["sh", "-c", command], check=True)
    assert not (moved / "mlflow.db").exists()
    assert (moved / "mlflow.db.old").exists()


@pytest.mark.parametrize("address", ["mlruns", "/somewhere/mlruns", "file:///somewhere/mlruns", "./mlflow.db"])
def test_a_folder_is_no_tracking_store(address: str) -> None:
    with pytest.raises(BadInput, match="a folder, but http://HOST:PORT, postgresql"):
        addresses.check(address)


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("mysql://u:secret@127.0.0.1/x", "needs the Python package MySQLdb"),
        ("postgresql+psycopg://u:secret@127.0.0.1:1/x", "fails: .*[Cc]onnection"),
        ("nothing://here", "fails"),
    ],
)
def test_a_database_that_cannot_be_had_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, wanted: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    (tmp_path / "params.yaml").write_text(json.dumps({"domain": DOMAIN}))
    with pytest.raises(BadInput, match=wanted) as told:
        mlflow_store.connect(tmp_path, retries=0, timeout_s=2)
    assert "secret" not in str(told.value)


def test_a_proxy_in_the_way_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    assert addresses.by_proxy("http://127.0.0.1:5000") == ""
    monkeypatch.setenv("http_proxy", "http://me:secret@proxy.invalid:3128")
    said = addresses.by_proxy("http://127.0.0.1:5000")
    assert "through the proxy http://***@proxy.invalid:3128" in said
    assert "`export no_proxy=127.0.0.1`" in said
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert addresses.by_proxy("http://127.0.0.1:5000") == ""


def test_history_knows_the_models_of_each_commit(project: Project) -> None:
    old = project.train("old_name")
    project.commit()
    project.train("new_name")
    project.write(["new_name"])
    project.commit()
    history = sync.read_history()
    assert len(history.commits[old]) == 1
    assert revisions.head() not in history.commits[old]


def test_a_commit_with_another_table_is_shown_as_far_as_it_goes(project: Project) -> None:
    project.train("conv")
    path = project.root / "models/conv/history.csv"
    before = md5(path.read_bytes())
    path.write_text("epoch,val_psnr_db,new\n1,20,3\n")
    lock = project.root / "dvc.lock"
    lock.write_text(lock.read_text().replace(before, md5(path.read_bytes())))
    said = synced(project)
    assert "models/conv/history.csv, column train_loss" in said.as_table()
    [run] = mlflow_store.runs_by_key(connected(project)).values()
    assert run.data.metrics == {"val/psnr_db": 20.0}


def test_noise_levels_that_are_close_have_steps_of_their_own(project: Project) -> None:
    project.train("conv")
    [record] = sync.records.gather(dvc_lock.current(), sync.Contents(None).find)
    means = {sigma: {"psnr_db": 10.0 + float(sigma), "mse": 0.1} for sigma in ("0.12", "0.125", "1.0")}
    record = record._replace(evaluation=sync.records.Part("a" * 32, means))
    store, nowhere = connected(project), mlflow_store.Origin(None, True)
    for _ in range(2):
        outcome = mlflow_store.publish(store, record, nowhere, {}, with_model=False, replace=True)
        assert outcome.contradictions == ()
    points = store.client.get_metric_history(outcome.run_id, "test/psnr_db")
    assert {point.step: point.value for point in points} == {1200: 10.12, 1250: 10.125, 10_000: 11.0}
    # Rounding, as on another kind of machine, is no nondeterminism; more than that is.
    for change, contradictions, elsewhere in ((1e-5, 0, 1), (0.5, 2, 0)):
        other = {sigma: values | {"psnr_db": values["psnr_db"] + change} for sigma, values in means.items()}
        changed = record._replace(evaluation=sync.records.Part("a" * 32, other))
        outcome = mlflow_store.publish(store, changed, nowhere, {}, with_model=False, replace=True)
        assert (bool(outcome.contradictions), len(outcome.elsewhere)) == (bool(contradictions), elsewhere)
