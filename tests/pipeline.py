"""A pytest plugin: the real pipeline, reproduced once on the small MNIST sample in a throwaway clone."""

import gzip
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import warm
from filelock import FileLock
from ruamel.yaml import YAML

CHECKOUT = Path(__file__).parent.parent
SAMPLE = CHECKOUT / "tests/data/mnist"
PARAMS = SAMPLE / "params.yaml"  # MNIST's, which the tests work with whatever images this project is of
BIN = Path(sys.executable).parent
PATIENCE_S = 900  # a command that takes so long hangs, however busy the machine is


class Pipeline(NamedTuple):
    """A clone with everything that `dvc repro` and `denoise sync` left in it."""

    root: Path
    printed: str  # by `dvc repro`

    def run(
        self, *command: str, check: bool = True, real: bool = False, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the clone, with the programs of this environment and the clone's own package."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env=clean_environment(self.root, real) | environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def params(self, change) -> None:
        """Edit params.yaml with a function of what it holds."""
        path, yaml = self.root / "params.yaml", YAML()
        values = yaml.load(path)
        change(values)
        yaml.representer.ignore_aliases = lambda _: True  # a model that is copied is written twice
        yaml.dump(values, path)

    def stages_run(self, *command: str) -> set[str]:
        """Which stages a `dvc repro` ran."""
        printed = self.run("dvc", "repro", *command).stdout
        return {line.split("'")[1] for line in printed.splitlines() if line.startswith("Running stage")}

    def copy(self, target: Path) -> "Pipeline":
        """The same pipeline elsewhere, to be changed; its store, which holds absolute paths, is moved with it."""
        shutil.copytree(self.root, target, symlinks=True)
        with sqlite3.connect(target / "mlflow.db") as store:
            for table, column in (
                ("experiments", "artifact_location"),
                ("runs", "artifact_uri"),
                ("logged_models", "artifact_location"),
            ):
                store.execute(
                    f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (self.root.as_uri(), target.as_uri())
                )
        return Pipeline(target, self.printed)


def clean_environment(root: Path, real: bool = False) -> dict[str, str]:
    """The environment of somebody who works in `root` and has set nothing.

    real: with programs that start anew each time, for what only those can show; else those of the warm process.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_", "GIT_"))}
    first = BIN if real else f"{warm.programs()}:{BIN}"
    return kept | {"PATH": f"{first}:{os.environ['PATH']}", "PYTHONPATH": str(root / "src")}


OWN = (
    "params.yaml",
    "data/",
    "dvc.lock",
    "study/dvc.lock",
    "champion.json",
    "champion/",
    "models/",
    "reports/",
)  # what this project is of and what was made of it, which a new project has not


def clone(target: Path) -> Pipeline:
    """This checkout as it lies here, with what is not committed yet, as a repository without a past or results.

    It is of MNIST, and its MNIST is the sample.
    """
    listed = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    for name in subprocess.run(listed, cwd=CHECKOUT, check=True, capture_output=True).stdout.decode().split("\0"):
        if name and not name.startswith(OWN) and (CHECKOUT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, target / name)
    shutil.copy2(PARAMS, target / "params.yaml")
    (target / "data").mkdir()
    YAML().dump(sample_sources(), target / "data/mnist.yaml")
    pipeline = Pipeline(target, "")
    pipeline.run("git", "init", "-q")
    pipeline.run("git", "config", "user.name", "Tester")
    pipeline.run("git", "config", "user.email", "tester@example.invalid")
    return pipeline


def sample_sources() -> dict:
    """What data/mnist.yaml holds where MNIST is the sample."""
    checksums = {
        path.stem: hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest() for path in SAMPLE.glob("*.gz")
    }
    return {"sources": ["dir:tests/data/mnist"], "timeout_s": 1.0, "limit_s": 60.0, "sha256": checksums}


def small(values: dict) -> None:
    """Make params.yaml describe the sample, and trainings of two epochs."""
    values["data"]["split"] = {"train": 1000, "val": 100, "gate": 100}
    for model in values["models"].values():
        model["epochs"] = 2
    # Quick, and so weak that it comes last: what tests want of the others does not hang on it.
    small = {"fine_channels": 4, "coarse_channels": 4, "fine_blocks": 1, "coarse_blocks": 1}
    values["models"]["conv"].update(small | {"learning_rate": 0.00001})
    values["compute"]["threads"] = 1  # several test processes on two cores would wait for each other


def of_images(values: dict) -> None:
    """Make params.yaml describe a folder of images of one's own, with one model and noise levels that MNIST has not."""
    values["domain"] = {
        "name": "cells",
        "title": "Cells",
        "images": "cells of yeast",
        "look": "round",
        "dataset": None,
        "authors": None,
        "licence": None,
    }
    values["data"] = {
        "kind": "images",
        "origin": "data/images",
        "tile": [32, 32],
        "shares": {"val": 0.1, "gate": 0.1, "test": 0.2},
        "most": {"train": 400, "val": 100, "gate": 100, "test": 100},
    }
    values["noisy"] = {
        "wide": {"law": "uniform", "noise": "gaussian", "low": 0.0, "high": 0.25},
        "test": {"law": "levels", "noise": "gaussian", "sigmas": [0.0, 0.1]},
    }
    values["filters"] = {"wavelet": [0.8, 1.2], "total_variation": [1.0]}
    values["models"] = {"small": values["models"]["conv"] | {"regime": "wide"}}
    values["gate"].update(sigma=0.1, allowed_loss_db={"0.0": 0.2, "0.1": 0.2}, floors_db={"0.1": 15.0})


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where everything is installed that tests ask for, a skipped test is a failed one."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # a worker, whose results the first process counts
        return
    # What the kernel forbids cannot be installed.
    skipped = [one for one in reporter.stats.get("skipped", []) if "is not permitted here" not in str(one.longrepr)]
    if os.environ.get("NO_SKIPS") and skipped:
        print(f"\nNO_SKIPS is set, but {len(skipped)} tests were skipped")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The finished pipeline. Tests that change it take a copy.

    Of several processes that run tests the first to ask for it makes it, and each has a copy: what one does there takes
    DVC's locks.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    root, printed = shared / "a clone", shared / "printed"
    with FileLock(shared.with_suffix(".lock")):
        if not printed.exists():
            printed.write_text(reproduced(root))
    return Pipeline(root, printed.read_text()).copy(tmp_path_factory.mktemp("pipeline") / "a clone")


def reproduced(root: Path) -> str:
    """Reproduce the sample in a new clone there, with its runs in MLflow. What `dvc repro` printed is returned."""
    made = clone(root)
    made.params(small)
    made.run("git", "add", "-A")
    made.run("git", "commit", "-q", "-m", "The small sample")
    printed = made.run("dvc", "repro")
    made.run("git", "add", "-A")
    made.run("git", "commit", "-q", "-m", "Reproduced")
    made.run("denoise", "sync")
    return printed.stdout + printed.stderr
