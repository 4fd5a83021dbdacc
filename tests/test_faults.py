"""Full disks, folders that take no writing, too little memory, signals: for each stage, `denoise restore` and `sync`.

Each ends with one sentence, a status that is not 0, and outputs that are the old ones or the new ones, never half.
"""

import copy
import gzip
import hashlib
import os
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pytest
from faulty import NOT_PERMITTED, PATIENCE_S, Done, run_in, seen
from pipeline import Pipeline
from ruamel.yaml import YAML

from domain_denoiser.base.atomic import PREFIX
from domain_denoiser.runs import dvc_lock

ROOT = Path(__file__).parent.parent
IMAGES = {"train": 40, "t10k": 20}
SUMMARY = ("reports/metrics.json", "reports/levels.csv", "reports/figures/psnr_against_noise.png")
# Each command with what it writes, and the folder that must take writing for that.
COMMANDS = {
    "download": (("stages/download.py",), ("data/clean/",), "data"),
    "corrupt": (("stages/corrupt.py", "fixed"), ("data/noisy/fixed/",), "data/noisy"),
    "corrupt-test": (("stages/corrupt.py", "test"), ("data/noisy/test/",), "data/noisy"),
    "train": (("stages/train.py", "fixed"), ("models/fixed/",), "models/fixed"),
    "evaluate": (("stages/evaluate.py", "fixed"), ("reports/evaluation/fixed",), "reports/evaluation"),
    "summarise": (("stages/summarise.py",), SUMMARY, "reports"),
    "figures": (("stages/figures.py", "fixed"), ("reports/figures/fixed/",), "reports/figures/fixed"),
    "restore": (
        ("denoise", "restore", "--model", "fixed", "noisy.npy", "restored/images.npy"),
        ("restored/",),
        "restored",
    ),
}
each_command = pytest.mark.parametrize("name", COMMANDS)


def write_project(root: Path, values: dict, seed: int) -> None:
    """A project of a few images, so that no command takes longer than a moment."""
    shutil.copytree(ROOT / "stages", root / "stages")
    (root / ".dvc").mkdir()
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "idx").mkdir()
    pixels, checksums = np.random.default_rng(2018), {}
    for prefix, count in IMAGES.items():
        images = pixels.integers(0, 256, (count, 28, 28), np.uint8).tobytes()
        labels = (np.arange(count) % 10).astype(np.uint8).tobytes()
        for kind, sizes, content in (
            ("images-idx3", (count, 28, 28), images),
            ("labels-idx1", (count,), labels),
        ):
            name = f"{prefix}-{kind}-ubyte"
            whole = struct.pack(f">HBB{len(sizes)}I", 0, 8, len(sizes), *sizes) + content
            (root / "idx" / f"{name}.gz").write_bytes(gzip.compress(whole, mtime=0))
            checksums[name] = hashlib.sha256(whole).hexdigest()
    (root / "data").mkdir()
    given = {"sources": ["dir:idx"], "timeout_s": 1.0, "limit_s": 60.0, "sha256": checksums}
    YAML().dump(given, root / "data/mnist.yaml")
    values["data"]["split"] = {"train": 24, "val": 8, "gate": 8}
    fixed = values["models"]["fixed"] | {"epochs": 2, "hidden": 16}
    values |= {"seed": seed, "models": {"fixed": fixed}, "compute": {"device": "cpu", "threads": 1, "workers": 1}}
    YAML().dump(values, root / "params.yaml")
    np.save(root / "noisy.npy", pixels.random((20, 28, 28)) if seed == 1 else pixels.random((20, 28, 28)) / 2)


class Case(NamedTuple):
    """A command in a project that has all that it reads of the new results, and what it had written of the old ones."""

    root: Path
    command: tuple[str, ...]
    closed: Path  # the folder that must take writing for it
    before: dict[str, str]
    after: dict[str, str]  # if it ends well


@pytest.fixture(scope="module")
def finished(committed: dict, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two finished projects with other results, by another seed: the old one, and the new one."""
    made = []
    for seed in (1, 2):
        root = tmp_path_factory.mktemp("projects") / f"seed {seed}"
        root.mkdir()
        write_project(root, copy.deepcopy(committed), seed)
        commands = [command for command, *_ in COMMANDS.values()]
        commands.insert(commands.index(COMMANDS["summarise"][0]), ("stages/evaluate.py", "noisy"))
        for command in commands:
            done = run_in(root, *command)
            assert done.status == 0, done.err
        made.append(root)
    return made


@pytest.fixture
def case(name: str, finished: list[Path], tmp_path: Path) -> Case:
    old, new = finished
    root, (command, written, closed) = tmp_path / "a project", COMMANDS[name]
    shutil.copytree(new, root)
    after = outputs(seen(new))
    for path in after:
        if path.startswith(written):
            shutil.copy(old / path, root / path)
    before = outputs(seen(root))
    assert {path for path in after if before[path] != after[path]}
    return Case(root, command, root / closed, before, after)


def judge(case: Case, done: Done, status: int, wanted: str) -> None:
    """One sentence, the status, every output old or new, and nothing left behind."""
    last = done.err.splitlines()[-1]
    assert "Traceback" not in done.err
    assert re.fullmatch(f"error: .*{wanted}.*", last), done.err
    assert sum(line.startswith("error: ") for line in done.err.splitlines()) == 1
    assert done.status == status
    files = outputs(done.files)
    assert files.keys() == case.before.keys()  # no file too few, no temporary one
    for path, digest in files.items():
        assert digest in (case.before[path], case.after[path]), f"{path} is neither the old one nor the new one"
    if case.command[0] != "stages/train.py":  # its four files come one after another; the others' all at once
        assert files == case.before


def outputs(files: dict[str, str]) -> dict[str, str]:
    """Without locks, and without the whole checkpoints that a training leaves for the next one; but no half ones."""
    return {path: md5 for path, md5 in files.items() if not path.startswith(".running/") or PREFIX in path}


@each_command
def test_a_command_without_a_fault_ends_well(case: Case) -> None:
    done = run_in(case.root, *case.command)
    assert done.status == 0
    assert outputs(done.files) == case.after


@each_command
def test_a_file_that_may_not_grow(case: Case) -> None:
    done = run_in(case.root, *case.command, file_size={"largest": 100})
    judge(case, done, 1, "File too large")


@pytest.mark.services
@each_command
def test_a_full_disk(case: Case) -> None:
    done = run_in(case.root, *case.command, full_disk={"folder": str(case.closed), "left": 0})
    permitted(done)
    judge(case, done, 1, "No space left on device")


@pytest.mark.services
@each_command
def test_a_read_only_file_system(case: Case) -> None:
    done = run_in(case.root, *case.command, read_only={"folder": str(case.closed)})
    permitted(done)
    judge(case, done, 2 if case.command[0] == "denoise" else 1, "Read-only file system")


@each_command
def test_a_folder_without_permission(case: Case) -> None:
    done = run_in(case.root, *case.command, no_permission={"folder": str(case.closed)})
    case.closed.chmod(0o755)
    judge(case, done, 2 if case.command[0] == "denoise" else 1, "Permission denied")


@pytest.mark.parametrize("left", [0, 2**20, 2**22])
@each_command
def test_too_little_memory(case: Case, left: int) -> None:
    """As little as makes each of them fail, and a little more, at which they fail elsewhere or not at all."""
    done = run_in(case.root, *case.command, memory={"left": left})
    if done.status == 0:
        assert left > 0 or "download" in case.command[0]
        assert outputs(done.files) == case.after
    else:
        judge(case, done, 1, "not enough memory")


@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@each_command
def test_a_signal(case: Case, number: signal.Signals, again: bool) -> None:
    """When the first file is about to be finished; the second one comes while that is cleared away."""
    done = run_in(case.root, *case.command, signals={"number": number, "at": 1, "again": again})
    judge(case, done, 128 + number, f"stopped by {number.name}")


@pytest.mark.services
@pytest.mark.parametrize("name", ["download", "corrupt", "train", "summarise", "figures"])
@pytest.mark.parametrize("at", [2, 3, 4])
def test_a_signal_between_two_files(case: Case, at: int) -> None:
    done = run_in(case.root, *case.command, signals={"number": signal.SIGTERM, "at": at, "again": False})
    if done.status == 0:  # it finishes fewer files
        assert outputs(done.files) == case.after
    else:
        judge(case, done, 143, "stopped by SIGTERM")


def permitted(done: Done) -> None:
    """Skip where no file system may be mounted: neither as root nor in a user namespace."""
    if NOT_PERMITTED in done.err:
        pytest.skip("mounting a file system is not permitted here")


# In a process of their own


@contextmanager
def started(*words: str, **options: object) -> Iterator[subprocess.Popen[str]]:
    """Python with these words; killed when it takes too long, which ends what waits for its output."""
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, *words], text=True, **pipes, **options) as running:
        patience = threading.Timer(PATIENCE_S, running.kill)
        patience.start()
        try:
            yield running
        finally:
            patience.cancel()
            running.kill()


def ended(program: str, **options: object) -> subprocess.CompletedProcess[str]:
    """A program after its end."""
    return subprocess.run([sys.executable, "-c", program], text=True, timeout=PATIENCE_S, **options)


def test_ctrl_c_in_a_training(finished: list[Path], tmp_path: Path) -> None:
    """As a person presses it: while epochs go by, without anything prepared in the process."""
    root = tmp_path / "a project"
    shutil.copytree(finished[1], root)
    values = YAML().load(root / "params.yaml")
    values["models"]["fixed"]["epochs"] = 100_000
    YAML().dump(values, root / "params.yaml")
    before = outputs(seen(root))
    with started("stages/train.py", "fixed", cwd=root, env=plain()) as training:
        assert "epoch 1/100000" in training.stderr.readline()
        training.send_signal(signal.SIGINT)
        _, said = training.communicate()
    assert said.splitlines()[-1] == "error: stopped by SIGINT"
    assert "Traceback" not in said
    assert training.returncode == 130
    assert outputs(seen(root)) == before


@pytest.mark.parametrize(
    ("closed", "said"), [(">&-", "error: x: No space left on device\n"), ("2>&-", ""), (">&- 2>&-", "")]
)
def test_a_failing_machine_with_closed_outputs(closed: str, said: str) -> None:
    """Neither a traceback, nor the sentence where data was wanted."""
    program = (
        "from domain_denoiser.base.errors import one_sentence\n"
        "with one_sentence(): raise OSError(28, 'No space left on device', 'x')"
    )
    command = ["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_a_command_that_is_stopped_stops_what_it_started() -> None:
    program = (
        "from domain_denoiser.base import processes\nfrom domain_denoiser.base.errors import one_sentence\n"
        "with one_sentence(): processes.run('sh', '-c', 'echo $$; exec sleep 600')"
    )
    with started("-u", "-c", program) as running:
        assert running.stdout.readline().startswith("$ sh -c")
        below = int(running.stdout.readline())
        running.terminate()
        _, said = running.communicate()
    assert (running.returncode, said) == (143, "error: stopped by SIGTERM\n")
    assert not psutil.pid_exists(below)


@pytest.mark.parametrize("command", ["sleep 600; true", "trap '' TERM; sleep 600; true"], ids=["obeys", "does not"])
@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
def test_a_verification_that_is_stopped_stops_what_it_computes(command: str, again: bool) -> None:
    program = (
        "from concurrent.futures import ThreadPoolExecutor\nfrom domain_denoiser.base.errors import one_sentence\n"
        "from domain_denoiser.base.signals import awaited\n"
        "from domain_denoiser.runs.dvc_lock import Stage\nfrom domain_denoiser.operations.verify import cleanroom\n"
        f"""stage = Stage('evaluate', "echo $$ $PWD > /proc/$PPID/fd/1; {command}", {{}}, {{}}, {{}})\n"""
        "cleanroom.PATIENCE_S = 1.0\n"
        "with one_sentence(), ThreadPoolExecutor(2) as threads, cleanroom.opened() as room:\n"
        "    awaited([threads.submit(room.run, stage, None) for _ in range(5)])"
    )
    with started("-u", "-c", program, cwd=ROOT) as running:
        told = [running.stdout.readline().split(maxsplit=1) for _ in range(2)]
        running.terminate()
        if again:
            time.sleep(0.3)
            running.terminate()
        _, said = running.communicate()
    assert (running.returncode, said) == (143, "error: stopped by SIGTERM\n")
    assert [psutil.pid_exists(int(number)) for number, _ in told] == [False, False]
    assert not any(Path(folder.strip()).exists() for _, folder in told)


def test_output_that_nobody_can_take() -> None:
    """Standard output on a full disk: one sentence, and none more at the very end of the program."""
    program = "from domain_denoiser.base.errors import one_sentence\nwith one_sentence(): print('a result')"
    with Path("/dev/full").open("w") as full:
        done = ended(program, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, "error: No space left on device\n")


def test_a_mistake_in_the_program_keeps_its_traceback() -> None:
    """But not the secrets in it."""
    program = (
        "from domain_denoiser.base.errors import one_sentence\n"
        "with one_sentence(): raise ZeroDivisionError('at http://user:hunter2@example.invalid')"
    )
    done = ended(program, capture_output=True)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError: at http://***@example.invalid" in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize(("module", "status"), [("mlflow.tracking", 2), ("domain_denoiser.nowhere", 1)])
def test_a_package_that_is_not_installed(module: str, status: int) -> None:
    """One of the pipeline's is wanted; a missing module of this package is a mistake in the program."""
    program = (
        "import sys; sys.modules['mlflow'] = None\n"
        "from domain_denoiser.base.errors import one_sentence\n"
        f"with one_sentence(): import {module}"
    )
    done = ended(program, capture_output=True)
    assert done.returncode == status
    assert done.stderr.startswith("error: this command needs the pipeline's packages (mlflow") == (status == 2)
    assert ("Traceback" in done.stderr) == (status == 1)


def plain() -> dict[str, str]:
    """The environment without DVC's own words, as when a stage is run by hand."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}


# denoise sync: MLflow's store and what lies in it


@pytest.fixture
def storeless(pipeline: Pipeline, tmp_path: Path) -> Path:
    """The finished pipeline, whose tracking store was lost."""
    root = pipeline.copy(tmp_path / "a copy").root
    (root / "mlflow.db").unlink()
    shutil.rmtree(root / "mlartifacts")
    return root


SYNC_FAULTS = {
    "tiny-files": ({"file_size": {"largest": 4_096}}, 2, "the tracking store at .* fails: .*disk I/O error"),
    "small-files": ({"file_size": {"largest": 1_100_000}}, 1, "/model.safetensors: File too large"),
    "no-permission": ({"no_permission": {"folder": "{root}"}}, 1, "mlflow.db: Permission denied"),
    "read-only": ({"read_only": {"folder": "{root}"}}, 1, "mlflow.db: Read-only file system"),
    "full-disk": ({"full_disk": {"folder": "{root}", "left": 200_000}}, 2, "database or disk is full"),
    "memory": ({"memory": {"left": 2**24}}, 1, "not enough memory"),
    "SIGTERM-store": ({"signals": {"number": 15, "at": 1, "again": False}}, 143, "stopped by SIGTERM"),
    "SIGINT-twice": (
        {"signals": {"number": 2, "at": 2, "again": True, "call": "domain_denoiser.runs.mlflow_store._publish_params"}},
        130,
        "stopped by SIGINT",
    ),
}


# Some need mounts or signals, and one shows what is common to all.
@pytest.mark.parametrize(
    "fault",
    [pytest.param(fault, marks=[] if fault == "tiny-files" else pytest.mark.services) for fault in SYNC_FAULTS],
)
def test_a_sync_under_a_fault(storeless: Path, fault: str) -> None:
    faults, status, wanted = SYNC_FAULTS[fault]
    filled = {
        name: {key: value.format(root=storeless) if isinstance(value, str) else value for key, value in given.items()}
        for name, given in faults.items()
    }
    before = seen(storeless)
    done = run_in(storeless, "denoise", "sync", **filled)
    permitted(done)
    storeless.chmod(0o755)
    assert re.fullmatch(f"error: .*{wanted}.*\n", done.err), done.err
    assert done.status == status
    left = {path for path in done.files.keys() - before.keys() if not path.startswith(("mlflow.db", "mlartifacts/"))}
    assert not {path for path in left if not path.startswith(".dvc/tmp")}
    assert not [path for path in left if PREFIX in path]
    if fault == "SIGINT-twice":  # it had begun; the next one brings the rest
        again = run_in(storeless, "denoise", "sync")
        assert again.status == 0, again.err
        stages = dvc_lock.locked((storeless / "dvc.lock").read_bytes(), "dvc.lock")
        trained = {stage.key for name, stage in stages.items() if name.startswith("train@")}
        assert statuses_by_key(storeless) == dict.fromkeys(trained, "FINISHED")


# TMPDIR, and DVC's cache


@pytest.fixture(scope="module")
def judged(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished pipeline, of which each model may become the champion."""
    made = pipeline.copy(tmp_path_factory.mktemp("judged") / "a project")
    made.params(lambda values: values["gate"].update(floors_db={"0.5": 1.0}))
    made.run("git", "commit", "-q", "-a", "-m", "Other floors")
    return made.root


@pytest.fixture
def project(judged: Path, tmp_path: Path) -> Path:
    return Pipeline(judged, "").copy(tmp_path / "a project").root


def kept(files: dict[str, str]) -> dict[str, str]:
    """What a project is answerable for: neither its store nor what DVC and Python note down for themselves."""
    return {
        path: md5 for path, md5 in files.items() if not re.match(r"mlflow\.db|mlartifacts/|\.dvc/tmp/|.*\.pyc", path)
    }


def fill(folder: Path) -> None:
    """What lies there may take all the space that there is: a file system of no bytes at all would have no bound."""
    folder.mkdir()
    (folder / "what others left").write_bytes(bytes(5_000))


WITH_TEMPORARY_FILES = {
    "sync": ("denoise", "sync"),
    "promote": ("denoise", "promote", "--model", "fixed"),
    "verify": ("denoise", "verify"),
}


@pytest.mark.services
@pytest.mark.parametrize("name", WITH_TEMPORARY_FILES)
def test_a_tmpdir_that_becomes_full(project: Path, tmp_path: Path, name: str) -> None:
    """One sentence that names the place, nothing half written, and the next one goes on."""
    fill(tmp_path / "temporary")
    (project / "mlflow.db").unlink()
    shutil.rmtree(project / "mlartifacts")
    before = kept(seen(project))
    folder = str(tmp_path / "temporary")
    done = run_in(
        project,
        *WITH_TEMPORARY_FILES[name],
        full_disk={"folder": folder, "left": 0},
        temporary_files={"folder": folder, "chosen": True},
    )
    permitted(done)
    assert done.status == 1
    assert re.fullmatch(f"error: .*{re.escape(folder)}/.*: No space left on device.*\n", done.err), done.err
    assert kept(done.files) == before
    again = run_in(project, *WITH_TEMPORARY_FILES[name])
    assert again.status == 0, again.err
    if name == "sync":
        stages = dvc_lock.locked((project / "dvc.lock").read_bytes(), "dvc.lock")
        trained = {stage.key for stage in stages.values() if stage.name.startswith("train@")}
        assert statuses_by_key(project) == dict.fromkeys(trained, "FINISHED")


@pytest.mark.services
def test_a_tmpdir_that_is_full_from_the_first(project: Path, tmp_path: Path) -> None:
    """Another folder for temporary files is found, and all is as ever."""
    fill(tmp_path / "temporary")
    folder = str(tmp_path / "temporary")
    done = run_in(
        project,
        *WITH_TEMPORARY_FILES["promote"],
        full_disk={"folder": folder, "left": 0},
        temporary_files={"folder": folder, "chosen": False},
    )
    permitted(done)
    assert (done.status, done.err) == (0, "the gate measures fixed: 6 noise levels done\n")
    assert "champion.json" in done.files


@pytest.mark.parametrize("name", ["sync", "promote"])
def test_a_tmpdir_without_permission(project: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "temporary").mkdir()
    before, folder = kept(seen(project)), tmp_path / "temporary"
    if name == "sync":  # else there is nothing that it would write
        (project / "mlflow.db").unlink()
    done = run_in(
        project,
        *WITH_TEMPORARY_FILES[name],
        no_permission={"folder": str(folder)},
        temporary_files={"folder": str(folder), "chosen": True},
    )
    assert done.status == 1
    assert re.fullmatch(f"error: {re.escape(str(folder))}/[^ ]*: Permission denied\n", done.err), done.err
    assert kept(done.files) == before


@pytest.mark.services
@pytest.mark.parametrize(
    "command",
    [
        ("dvc", "repro"),
        ("denoise", "fresh"),
        ("denoise", "sync"),
        ("denoise", "promote", "--model", "fixed"),
        ("denoise", "verify"),
        ("denoise", "restore", "--model", "fixed", "data/clean/val_images.npy", "restored.npy"),
    ],
    ids=" ".join,
)
def test_a_cache_that_takes_no_writing(project: Path, command: tuple[str, ...]) -> None:
    """As one that several share: whoever only reads of it does as ever."""
    cache = {path: md5 for path, md5 in seen(project).items() if path.startswith(".dvc/cache/files/")}
    done = run_in(project, *command, read_only={"folder": str(project / ".dvc/cache")})
    permitted(done)
    assert done.status == 0, done.out + done.err
    assert "Traceback" not in done.err
    assert {path: md5 for path, md5 in done.files.items() if path.startswith(".dvc/cache/files/")} == cache
    if command[0] == "dvc":
        assert "Data and pipelines are up to date." in done.out


@pytest.mark.services
def test_a_cache_that_would_have_to_be_written(project: Path) -> None:
    """DVC's own sentence; its next reproduction goes on."""
    changed = Pipeline(project, "")
    changed.params(lambda values: values["models"]["fixed"].update(epochs=1))
    lock = (project / "dvc.lock").read_bytes()
    done = run_in(project, "dvc", "repro", "train@fixed", read_only={"folder": str(project / ".dvc/cache")})
    permitted(done)
    assert done.status != 0
    assert "Read-only file system" in done.err
    assert (project / "dvc.lock").read_bytes() == lock
    assert changed.stages_run("train@fixed") <= {"train@fixed"}
    assert (project / "models/fixed/history.csv").read_text().count("\n") == 2
    assert changed.run("dvc", "status", "--quiet", "train@fixed").returncode == 0


# A training that diverges


def test_a_training_that_diverges_is_published_as_failed(pipeline: Pipeline, tmp_path: Path) -> None:
    copied = pipeline.copy(tmp_path / "a copy")
    before = dvc_lock.locked((copied.root / "dvc.lock").read_bytes(), "dvc.lock")["train@conv"]
    deep = {"learning_rate": 10.0, "schedule": "constant", "fine_blocks": 6, "coarse_blocks": 6, "epochs": 200}
    copied.params(lambda values: values["models"]["conv"].update(deep))
    done = copied.run("dvc", "repro", "train@conv", check=False)
    assert done.returncode != 0
    [said] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert re.fullmatch(r"error: models/conv: the loss is (nan|inf) at epoch \d+, step \d+, learning rate 10", said)
    assert "Traceback" not in done.stderr
    # Nothing is there that could be taken for a result of it.
    locked = dvc_lock.locked((copied.root / "dvc.lock").read_bytes(), "dvc.lock")["train@conv"]
    assert locked.key == before.key
    written = [path for path in before.outs if (copied.root / path).exists()]
    assert not written
    statuses = statuses_by_key(copied.root)
    known = {stage.key for stage in dvc_lock.locked((copied.root / "dvc.lock").read_bytes(), "dvc.lock").values()}
    assert statuses[before.key] == "FINISHED"
    if "tracking: not done" not in done.stderr:  # a machine too busy for it within the stage's patience
        assert {status for key, status in statuses.items() if key not in known} == {"FAILED"}


def statuses_by_key(root: Path) -> dict[str, str]:
    """Of every run in the store."""
    with sqlite3.connect(root / "mlflow.db") as store:
        return dict(
            store.execute(
                "SELECT tags.value, runs.status FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid "
                "WHERE tags.key = 'key'"
            )
        )
