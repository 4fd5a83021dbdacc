"""`denoise sweep`: trials that follow from its file alone, each trained once, with the bytes of `dvc exp run`."""

import contextlib
import copy
import csv
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pipeline as pipelines
import psutil
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from pipeline import Pipeline
from ruamel.yaml import YAML

from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations.sweeping import command, spaces, trial
from domain_denoiser.runs import dvc_lock, revisions

DENOISE = (sys.executable, "-c", "from domain_denoiser.cli import main; main()", "sweep", "sweep.yaml")
PATIENCE_S = 900
SWEEP = {
    "model": "fixed",
    "metric": "val_psnr_db",
    "trials": 12,
    "seed": 2018,
    "spaces": {
        "models.fixed.learning_rate": {"log_uniform": [0.0005, 0.008]},
        "models.fixed.loss": {"choice": ["mse", "log_mse"]},
        "models.fixed.epochs": {"choice": [3, 5]},
    },
    "asha": None,
}
ray_is_there = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: `make setup-scale` does that"
)


def changed(**more: object) -> dict:
    return copy.deepcopy(SWEEP) | more


def write(folder: Path, values: object) -> Path:
    YAML().dump(values, path := folder / "sweep.yaml")
    return path


def drawn(values: dict, params: Path) -> list[spaces.Trial]:
    return spaces.trials(spaces.read(write(params.parent, values)), "sweep.yaml", params.read_bytes())


@pytest.fixture
def params(values: dict, write_params) -> Path:
    return write_params(values)


# Its trials


def test_the_same_file_has_the_same_trials_and_more_of_them_begin_alike(params):
    trials = drawn(changed(), params)
    assert len({one.name for one in trials}) == 12
    assert drawn(changed(), params) == trials
    assert drawn(changed(trials=3), params) == trials[:3]
    assert {one.name for one in drawn(changed(seed=1), params)}.isdisjoint(one.name for one in trials)
    # A space that comes first or last draws the same.
    turned = changed(spaces=dict(reversed(SWEEP["spaces"].items())))
    assert [one.name for one in drawn(turned, params)] == [one.name for one in trials]


def test_a_space_does_not_change_what_others_draw(params):
    more = changed(spaces=SWEEP["spaces"] | {"models.fixed.hidden": {"integers": [10, 20]}}, trials=5)
    rates = [one.settings["models.fixed.learning_rate"] for one in drawn(more, params)]
    assert rates == [one.settings["models.fixed.learning_rate"] for one in drawn(changed(trials=5), params)]


def test_values_are_short_and_within_their_spaces(params):
    found = {
        "models.fixed.learning_rate": {"log_uniform": [0.0005, 0.008]},
        "models.fixed.beta2": {"uniform": [0.9, 0.99]},
        "models.fixed.hidden": {"integers": [3, 5]},
        "models.fixed.augment": {"choice": [True, False]},
    }
    trials = drawn(changed(spaces=found, trials=200), params)
    columns = {key: [one.settings[key] for one in trials] for key in found}
    rates = columns["models.fixed.learning_rate"]
    assert all(0.0005 <= rate <= 0.008 and len(f"{rate}".lstrip("0.")) <= 3 for rate in rates)
    assert 70 < sum(rate < 0.002 for rate in rates) < 130  # the middle of the logarithms
    assert all(0.9 <= beta2 <= 0.99 and beta2 == round(beta2, 3) for beta2 in columns["models.fixed.beta2"])
    assert set(columns["models.fixed.hidden"]) == {3, 4, 5}
    assert set(columns["models.fixed.augment"]) == {True, False}
    for one in trials:
        model = one.params.models["fixed"]
        assert (model.learning_rate, model.hidden) == (
            one.settings["models.fixed.learning_rate"],
            one.settings["models.fixed.hidden"],
        )


def test_equal_trials_are_one(params):
    trials = drawn(changed(spaces={"models.fixed.epochs": {"choice": [3, 5, 3]}}), params)
    assert sorted(one.settings["models.fixed.epochs"] for one in trials) == [3, 5]


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"trails": 3}, "sweep.yaml: trails is not a known key"),
        ({"trials": 0}, "sweep.yaml: trials is 0, but input should be greater than or equal to 1"),
        ({"metric": "psnr"}, "sweep.yaml: metric is 'psnr', but input should be 'val_psnr_db' or 'val_loss'"),
        ({"model": "none"}, "sweep.yaml: model is 'none', but params.yaml has plain, fixed, random, conv"),
        ({"asha": {"grace_epochs": 1}}, "sweep.yaml: asha.reduction is missing"),
        ({"spaces": {}}, "sweep.yaml: spaces is {}, but dictionary should have at least 1 item"),
        (
            {"spaces": {"models.fixed.epochs": {"range": [1, 2]}}},
            "sweep.yaml: spaces.models.fixed.epochs is {'range': [1, 2]}, but one of choice, integers, uniform, "
            "log_uniform with its values is expected",
        ),
        (
            {"spaces": {"models.fixed.epochs": {"integers": [5, 5]}}},
            "must have a first number below the second, but has [5, 5]",
        ),
        (
            {"spaces": {"models.fixed.learning_rate": {"log_uniform": [0.0, 1.0]}}},
            "is 0.0, but input should be greater than 0",
        ),
        (
            {"spaces": {"models.fixed.rate": {"choice": [1.0]}}},
            "sweep.yaml: spaces give models.fixed.rate=1.0, but params.yaml has no key 'models.fixed.rate'",
        ),
        (
            {"spaces": {"models.fixed.epochs": {"choice": [3, 0]}}},
            "sweep.yaml: spaces give models.fixed.epochs=0, but params.yaml: models.fixed.epochs is 0, but input",
        ),
        (
            {"spaces": {"models.fixed.beta2": {"uniform": [0.5, 1.0]}}},
            "sweep.yaml: spaces give models.fixed.beta2=1.0, but params.yaml: models.fixed.beta2 is 1.0, but input",
        ),
        (
            {"spaces": {"models.fixed.hidden": {"choice": ["wide"]}}},
            'sweep.yaml: spaces give models.fixed.hidden="wide", but params.yaml: models.fixed: hidden is',
        ),
        (
            {"spaces": {"models.plain.epochs": {"choice": [3]}}},
            "sweep.yaml: spaces.models.plain.epochs: a training of fixed does not read that key of params.yaml",
        ),
        ({"spaces": {"gate.sigma": {"choice": [0.5]}}}, "spaces.gate.sigma: a training of fixed does not read that"),
    ],
    ids=str,
)
def test_what_a_sweep_may_not_say(params, more, wanted):
    with pytest.raises(BadInput) as raised:
        drawn(changed(**more), params)
    assert wanted in str(raised.value).replace(f"{params.parent}/", "")


def test_a_trial_is_judged_by_the_epoch_that_is_kept():
    rows = [
        {"val_psnr_db": 1.0, "val_loss": 0.1},
        {"val_psnr_db": 3.0, "val_loss": 0.3},
        {"val_psnr_db": 2.0, "val_loss": 0.5},
    ]
    assert (trial.judged(rows, "val_psnr_db"), trial.judged(rows, "val_loss")) == (3.0, 0.3)


def test_what_a_checkpoint_says_of_its_epochs(tmp_path, monkeypatch):
    """As training/checkpoint.py writes it."""
    import torch

    from domain_denoiser.training.checkpoint import Checkpoint, Checkpoints
    from domain_denoiser.training.loop import State

    monkeypatch.chdir(tmp_path)
    assert trial.reached("c" * 40, "sweep-1", "fixed") == []
    checkpoints = Checkpoints(trial.place("c" * 40, "sweep-1") / "state/models/fixed", "of")
    rows = [{"epoch": epoch, "val_psnr_db": 1.5} for epoch in range(1, 12)]
    for epoch in (9, 11):
        checkpoints.save(Checkpoint(rows[:epoch], {}, State(epoch, {"weight": torch.zeros(3)})))
    assert trial.reached("c" * 40, "sweep-1", "fixed") == rows


# In a project


@pytest.fixture
def project(pipeline: Pipeline, tmp_path: Path, monkeypatch) -> Pipeline:
    made = pipeline.copy(tmp_path / "a project")
    write(made.root, SWEEP)
    monkeypatch.chdir(made.root)
    return made


def sweep(**options: object) -> command.Outcome:
    return command.run(Path("sweep.yaml"), **{"address": "local", "workers": 2, "dry_run": False} | options)


def experiments() -> dict[str, str]:
    return {name: commit for name, commit in revisions.experiments() if name.startswith("sweep-")}


def every_run(project: Pipeline) -> list[Run]:
    client = MlflowClient(f"sqlite:///{project.root}/mlflow.db")
    return list(client.search_runs([one.experiment_id for one in client.search_experiments()]))


def runs(project: Pipeline) -> dict[str, Run]:
    """Key -> run, of those that are no model of this state."""
    return {run.data.tags["key"]: run for run in every_run(project) if run.data.tags.get("experiments")}


def test_without_ray_one_sentence_says_how_to_get_it(project, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput) as raised:
        sweep()
    wanted = "`denoise sweep` needs Ray: `make setup-scale` in a clone, or pip install 'domain-denoiser[scale]'"
    assert str(raised.value) == wanted
    assert not Path(".running/sweep").exists()


def test_trials_are_made_from_a_commit(project):
    project.params(lambda values: values.update(seed=1))
    wanted = "trials are made from the commit that is checked out, but params.yaml differs from it: `git commit` or"
    with pytest.raises(BadInput, match=wanted):
        sweep(dry_run=True)
    project.run("git", "checkout", "-q", "params.yaml")
    project.run("git", "add", "sweep.yaml")
    Path("notes.txt").write_text("neither the sweep's own file nor one that git does not know")
    sweep(dry_run=True)
    project.run("git", "rm", "-q", "dvc.lock")
    project.run("git", "commit", "-q", "-m", "No results")
    with pytest.raises(BadInput, match="no commit has a dvc.lock yet: `make repro`, and commit what it made"):
        sweep(dry_run=True)


def test_a_dry_run_lists_trials_with_the_keys_of_their_runs(project):
    project.run("dvc", "exp", "run", "-S", "models.fixed.epochs=3", "train@fixed")
    key = dvc_lock.workspace()["train@fixed"].key
    project.run("git", "checkout", "-q", ".")
    project.run("dvc", "checkout", "-q")
    write(project.root, changed(spaces={"models.fixed.epochs": {"choice": [3]}}))
    outcome = sweep(dry_run=True)
    [name] = [one.name for one in drawn(changed(spaces={"models.fixed.epochs": {"choice": [3]}}), Path("params.yaml"))]
    assert outcome.lines[1].split() == [name, f"fixed-{key[:8]}", "3", "0", "of", "3", "-", "not", "trained", "yet"]
    assert outcome.lines[2] == "the spaces of sweep.yaml have no more than 1 trials, of 12 that it asks for"
    write(project.root, changed(spaces={"noisy.fixed.sigma": {"choice": [0.25]}}))
    assert "known when it trains" in sweep(dry_run=True).lines[1]
    assert not experiments() and not Path(".running/sweep").exists()


# With Ray


def started(project: Pipeline, *words: str) -> subprocess.Popen:
    environment = pipelines.clean_environment(project.root, real=True)
    return subprocess.Popen(
        [*DENOISE, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def ended(running: subprocess.Popen) -> tuple[int, str, list[str]]:
    out, err = running.communicate(timeout=PATIENCE_S)
    return running.returncode, out, [line for line in err.splitlines() if not line.startswith(("sweep: ", "note: "))]


def trainings(root: Path) -> list[psutil.Process]:
    """The processes that work in a trial's clone."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(root / ".running/sweep"):
                found.append(process)
    return found


def wait_until(true, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def note_trainings(project: Pipeline) -> Path:
    """Have each training of an epoch leave a line: the clone's own stages import this first."""
    note = project.root.parent / "epochs.txt"
    path = project.root / "src/sitecustomize.py"
    path.write_text(
        "import os\nif 'DVC_EXP_NAME' in os.environ:\n"
        "    from domain_denoiser.base import progress\n    before = progress.epochs\n"
        "    import contextlib\n    @contextlib.contextmanager\n    def epochs(*given):\n"
        "        with before(*given) as show:\n            def noted(row):\n"
        f"                open({str(note)!r}, 'a').write(f\"{{os.environ['DVC_EXP_NAME']}} {{row['epoch']}}\\n\")\n"
        "                show(row)\n            yield noted\n    progress.epochs = epochs\n"
    )
    project.run("git", "add", "src/sitecustomize.py")
    project.run("git", "commit", "-q", "-m", "Epochs are noted")
    note.touch()
    return note


def begun(note: Path) -> set[str]:
    return {line.split()[0] for line in note.read_text().splitlines()}


@ray_is_there
@pytest.mark.services
def test_killed_in_the_middle_it_goes_on_and_trains_nothing_twice(project):
    note, before = note_trainings(project), set(runs(project))
    names = [one.name for one in drawn(changed(), Path("params.yaml"))]
    running = started(project, "--workers", "2")
    wait_until(lambda: running.poll() is not None or len(experiments()) >= 4, "four trials")
    assert running.poll() is None, ended(running)
    wait_until(lambda: begun(note) - experiments().keys(), "an epoch of a trial that has not finished")
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    wait_until(lambda: not trainings(project.root), "the trainings end")
    half = experiments()
    assert 4 <= len(half) < 12
    status, said, errors = ended(started(project, "--workers", "2"))
    assert (status, errors) == (0, []), said

    commits = experiments()
    assert commits.keys() == set(names) and half.items() <= commits.items()
    told = note.read_text().splitlines()
    wanted = {one.name: one.settings["models.fixed.epochs"] for one in drawn(changed(), Path("params.yaml"))}
    assert sorted(told) == sorted(set(told))
    assert {name: sum(line.startswith(name) for line in told) for name in names} == wanted
    locks = {name: dvc_lock.locked(revisions.show(commit, "dvc.lock"), name) for name, commit in commits.items()}
    keys = {name: lock["train@fixed"].key for name, lock in locks.items()}
    assert runs(project).keys() - before <= set(keys.values()) and len(set(keys.values())) == 12
    project.run("denoise", "sync", "--all-commits")  # the kill may have come between a training and its run
    found = runs(project)
    assert set(keys.values()) <= found.keys()  # and those of the other models in these commits
    assert {found[key].info.status for key in keys.values()} == {"FINISHED"}
    assert {name: found[key].data.tags["experiments"] for name, key in keys.items()} == {name: name for name in names}

    # The table says what git does, and the best is what `dvc exp run` gives with these settings.
    table = {line.split()[0]: line.split() for line in said.splitlines()[1:13]}
    assert {name: row[1] for name, row in table.items()} == {name: f"fixed-{key[:8]}" for name, key in keys.items()}
    best = max(names, key=lambda name: float(table[name][-2]))
    assert f"the best is {best}: `dvc exp apply {best}`" in said
    commented = Path("params.yaml").read_text().count("#")
    project.run("dvc", "exp", "apply", best)
    [winner] = [one for one in drawn(changed(), Path("params.yaml")) if one.name == best]
    assert Path("params.yaml").read_text().count("#") == commented
    assert dvc_lock.workspace()["train@fixed"].key == keys[best]
    swept = {path.name: path.read_bytes() for path in Path("models/fixed").iterdir()}
    with Path("models/fixed/history.csv").open() as file:
        assert len(list(csv.DictReader(file))) == winner.settings["models.fixed.epochs"]
    other = pipelines.clone(project.root.parent / "another")
    other.params(pipelines.small)
    for path in ("src/sitecustomize.py",):
        (other.root / path).write_bytes(Path(path).read_bytes())
    other.run("git", "add", "-A")
    other.run("git", "commit", "-q", "-m", "The small sample")
    other.run("dvc", "exp", "run", *(word for one in winner.overrides() for word in ("-S", one)), "train@fixed")
    assert dvc_lock.locked((other.root / "dvc.lock").read_bytes(), "")["train@fixed"].key == keys[best]
    again = {path.name: path.read_bytes() for path in (other.root / "models/fixed").iterdir()}
    assert {name: again[name] for name in swept if name != "profile.json"} == {
        name: content for name, content in swept.items() if name != "profile.json"
    }


def test_of_a_trial_that_was_killed_stays_what_it_can_go_on_from(tmp_path, monkeypatch):
    """Its checkpoint, and the clone only if the training in it had ended."""
    top, root = tmp_path / "repository", tmp_path / "repository/project"
    root.mkdir(parents=True)
    monkeypatch.chdir(root)
    trained, halfway = (
        trial.Given(str(root), str(top), "cache", "0" * 40, name, "fixed", "fixed", 3, [])
        for name in ("trained", "halfway")
    )
    for one in (trained, halfway):
        (one.project / "models/fixed").mkdir(parents=True)
        (one.clone.parent / "state").mkdir()
        one.unfinished.mkdir()
        one.clone.parent.with_suffix(".lock").touch()
    (trained.project / "models/fixed/platform.json").touch()
    trial.wait_for([trained, halfway])
    assert (trained.project / "models/fixed/platform.json").exists()
    assert [path.name for path in halfway.clone.parent.iterdir()] == ["state"]


@ray_is_there
@pytest.mark.services
def test_asha_ends_the_worse_ones_and_a_signal_all_of_them(project):
    """One image at a time, so that an epoch takes a second."""
    slow = {
        "models.fixed.learning_rate": {"choice": [0.0001, 0.3]},
        "models.fixed.ema": {"choice": [0.0, 0.1]},
        "models.fixed.epochs": {"choice": [8]},
        "models.fixed.batch_size": {"choice": [1]},
    }
    write(project.root, changed(spaces=slow, trials=4, asha={"grace_epochs": 1, "reduction": 4}))
    running = started(project, "--workers", "2")
    wait_until(lambda: running.poll() is not None or list(Path(".running/sweep").glob("*/*/state/*/*/*")), "an epoch")
    assert running.poll() is None, ended(running)
    running.send_signal(signal.SIGTERM)
    assert ended(running) == (143, "", ["error: stopped by SIGTERM"])
    assert trainings(project.root) == [] and not list(Path(".running/sweep").glob("*/*/clone"))
    assert experiments() == {}

    status, said, errors = ended(started(project, "--workers", "2"))
    assert (status, errors) == (0, []), said
    rows = [line.split() for line in said.splitlines()[1:5]]
    stopped = {row[0]: row for row in rows if "stopped by ASHA" in " ".join(row)}
    assert stopped and experiments().keys() == {row[0] for row in rows} - stopped.keys()
    assert experiments() and trainings(project.root) == []
    project.run("denoise", "sync")  # it closes the run of a training that had to be killed, on a starved machine
    for row in stopped.values():
        [run] = [run for run in every_run(project) if run.info.run_name == row[1]]
        assert run.info.status in ("FAILED", "KILLED") and int(row[6]) < 8
        assert not (trial.place(revisions.head(), row[0]) / "clone").exists()


@ray_is_there
@pytest.mark.services
def test_a_training_that_fails_is_named_and_costs_no_other(project):
    write(project.root, changed(spaces={"models.fixed.crop": {"choice": [None, 16]}}, trials=2))
    status, said, _ = ended(started(project, "--workers", "1"))
    assert status == 1 and len(experiments()) == 1 and said.count("finished") == 1
    wanted = "failed: the network of models.fixed in params.yaml takes 28 x 28 pixels, but"
    assert wanted in said and "16 x 16" in said
    project.run("dvc", "exp", "remove", *experiments())
    assert experiments() == {}
    # What is gone from git is in DVC's run cache: the training does not run again.
    for log in Path(".running/sweep").glob("*/*/log"):
        log.unlink()
    assert ended(started(project, "--workers", "1"))[0] == 1
    assert len(experiments()) == 1
