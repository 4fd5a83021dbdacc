"""A stage refuses params that are not those its reproduction began with."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from dvc.repo import Repo
from pipeline import PATIENCE_S, clean_environment, clone, small

from domain_denoiser.base import reproduction

STAGE = """
import sys
from domain_denoiser.base import one_writer
from domain_denoiser.base.errors import one_sentence
with one_sentence(), one_writer.alone():
    print("begun", flush=True)
    sys.stdin.readline()
"""
# As DVC does it: a process that runs one stage after another, in a shell each, which know their names.
REPRODUCTION = """
import os, subprocess, sys
for name in sys.stdin.readline().split():
    shell = ["sh", "-c", "python stage.py " + name + "; exit $?"]
    done = subprocess.run(shell, env=os.environ | {"DVC_STAGE": name}, stdin=sys.stdin)
    if done.returncode:
        sys.exit(done.returncode)
"""
PARAMS = "seed: 1\nmodels:\n  fixed: {epochs: 30}\n  conv: {epochs: 9}\n"
PIPE = """
stages:
  train:
    foreach: ${models}
    do:
      cmd: python stage.py
      params: [seed, "models.${key}"]
      outs: ["made-${key}"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    Repo.init(tmp_path, no_scm=True).close()
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "dvc.yaml").write_text(PIPE)
    return tmp_path


@pytest.fixture
def begin(project: Path):
    """Start a reproduction of these stages, and wait until the first one has begun."""
    started = []

    def run(*stages: str) -> subprocess.Popen:
        pipe, environment = subprocess.PIPE, clean_environment(Path(__file__).parents[2], real=True)
        command = [sys.executable, "-uc", REPRODUCTION]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), pipe)
        started.append(subprocess.Popen(command, cwd=project, env=environment, text=True, **pipes))
        started[-1].stdin.write(" ".join(stages) + "\n")
        started[-1].stdin.flush()
        assert started[-1].stdout.readline() == "begun\n"
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def change(project: Path, old: str, new: str) -> None:
    (project / "params.yaml").write_text((project / "params.yaml").read_text().replace(old, new))


def ended(running: subprocess.Popen, lines: int) -> tuple[int, str]:
    out, error = running.communicate("\n" * lines)
    return running.returncode, error


def test_another_value_of_the_stage_itself_is_refused_at_its_end(project, begin):
    running = begin("train@fixed")
    change(project, "30", "5")
    assert ended(running, 1) == (
        2,
        "error: params.yaml changed since this reproduction began (models.fixed.epochs is 5, was 30): run `dvc repro` "
        "again\n",
    )


def test_another_value_of_a_later_stage_is_refused_there(project, begin):
    running = begin("train@fixed", "train@conv")
    change(project, "epochs: 9", "epochs: 8")
    status, error = ended(running, 2)
    assert status == 2
    assert "(models.conv.epochs is 8, was 9)" in error
    again = begin("train@conv")  # a new reproduction begins with what is there now
    assert ended(again, 1) == (0, "")
    assert len(list(project.glob(f".running/*{reproduction.KEPT}"))) == 1  # that of the first one is gone


def test_an_entry_that_is_gone_is_named(project, begin):
    running = begin("train@conv")
    change(project, "  conv: {epochs: 9}\n", "")
    status, error = ended(running, 1)
    assert status == 2
    assert "(models.conv.epochs is not there, was 9)" in error


def test_what_the_stages_do_not_read_may_change(project, begin):
    running = begin("train@fixed", "train@fixed")
    change(project, "epochs: 9", "epochs: 8")
    change(project, "seed: 1", "seed: 1  # drawn from it: everything")
    assert ended(running, 2) == (0, "")


def test_reproductions_beside_each_other_have_their_own_beginning(project, begin):
    first = begin("train@fixed")
    change(project, "epochs: 9", "epochs: 8")
    second = begin("train@conv")
    assert ended(first, 1) == ended(second, 1) == (0, "")
    assert begin("train@fixed").poll() is None


def test_by_hand_nothing_is_looked_at(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    with reproduction.unchanged(Path(".running")):
        change(project, "30", "5")
    assert not Path(".running").exists()


def test_where_the_system_tells_nothing_of_processes_the_stage_itself_is_still_held_to_it(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv("DVC_STAGE", "train@fixed")
    monkeypatch.setattr(reproduction, "_dvc", lambda stage: None)
    with pytest.raises(reproduction.BadInput, match="epochs is 5, was 30"), reproduction.unchanged(Path(".running")):
        change(project, "30", "5")


@pytest.mark.services
def test_a_refused_experiment_in_a_second_terminal(tmp_path: Path) -> None:
    """It has changed params.yaml before it is refused; nothing is trained with that, and nothing recorded."""
    made, begun, go = clone(tmp_path / "a clone"), tmp_path / "begun", tmp_path / "go"
    made.params(small)
    download, reads = made.root / "stages/download.py", '    read = params.read(Path("params.yaml"))\n'
    # Its first stage runs until the second terminal has been refused, however busy the machine is.
    waits = f"    import time\n    Path({str(begun)!r}).touch()\n    while not Path({str(go)!r}).exists():\n"
    waits += "        time.sleep(0.1)\n"
    assert reads in download.read_text()
    download.write_text(download.read_text().replace(reads, reads + waits))
    made.run("git", "add", "-A")
    made.run("git", "commit", "-q", "-m", "The small sample")
    environment, pipe = clean_environment(made.root, real=True), subprocess.PIPE
    first = subprocess.Popen(
        ["dvc", "repro", "train@fixed"], cwd=made.root, env=environment, stdout=pipe, stderr=pipe, text=True
    )
    try:
        while not begun.exists():
            assert first.poll() is None, first.communicate()
            time.sleep(0.1)
        second = made.run("dvc", "exp", "run", "-S", "models.fixed.epochs=5", check=False, real=True)
        go.touch()
        _, error = first.communicate(timeout=PATIENCE_S)
    finally:
        go.touch()
        first.kill()
    assert second.returncode != 0
    assert "is busy, it is being blocked by" in second.stdout + second.stderr
    assert first.returncode != 0
    assert "error: params.yaml changed since this reproduction began (models.fixed.epochs is 5, was 2)" in error
    locked = (made.root / "dvc.lock").read_text()
    assert "corrupt@fixed" in locked  # what it reads is as it was
    assert "train@fixed" not in locked
