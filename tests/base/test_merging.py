"""Both sides of a merge in a file that commands read."""

import shutil
import subprocess
from pathlib import Path

import pytest
from pipeline import PARAMS
from typer.testing import CliRunner

from domain_denoiser import cli
from domain_denoiser.base import merging, parsing
from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations import freshness
from domain_denoiser.operations.doctor import repository
from domain_denoiser.runs import champion, dvc_lock


def git(*arguments: str, check: bool = True) -> None:
    who = ["-c", "user.name=Tester", "-c", "user.email=tester@example.invalid"]
    subprocess.run(["git", *who, *arguments], check=check, capture_output=True)


@pytest.fixture
def conflict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A real merge that git could not do, in dvc.lock; its content."""
    monkeypatch.chdir(tmp_path)
    git("init", "-q", "--initial-branch=main")
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\n    analytics = false\n")
    Path("dvc.yaml").write_text("stages: {}\n")
    shutil.copy(PARAMS, "params.yaml")
    for branch, command in (("main", "base"), ("theirs", "one"), ("main", "two")):
        git("switch", "-q", branch, check=False)
        if command == "one":
            git("switch", "-q", "-c", branch)
        Path("dvc.lock").write_text(f"schema: '2.0'\nstages:\n  only:\n    cmd: {command}\n")
        git("add", "-A")
        git("commit", "-q", "-m", command)
    git("merge", "theirs", check=False)
    return Path("dvc.lock").read_bytes()


@pytest.mark.parametrize("command", ["fresh", "sync", "recover", "retrain", "propose", "show only", "compare", "gate"])
def test_every_command_says_what_to_do(conflict: bytes, command: str) -> None:
    done = CliRunner().invoke(cli.app, command.split())
    assert isinstance(done.exception, BadInput)
    assert "dvc.lock: a merge has left both sides in it, from line 4: `git checkout --theirs" in str(done.exception)
    assert Path("dvc.lock").read_bytes() == conflict


def test_the_doctor_names_the_command_and_it_helps(conflict: bytes) -> None:
    check = repository.lock(Path.cwd())
    assert (check.verdict, check.fix) == ("wrong", merging.fix("dvc.lock"))
    subprocess.run(check.fix.split(" && ")[0], shell=True, check=True, capture_output=True)
    assert dvc_lock.workspace()["only"].cmd == "one"
    assert repository.lock(Path.cwd()).fine
    assert freshness.stale_stages() == []


@pytest.mark.parametrize(
    ("parse", "name"),
    [(parsing.parse, "params.yaml"), (champion.parse, "champion.json"), (dvc_lock.locked, "dvc.lock")],
)
def test_each_file_of_ours_is_recognised(parse, name: str) -> None:
    with pytest.raises(BadInput, match=f"{name}: a merge has left both sides in it, from line 2"):
        parse(b"seed: 1\n<<<<<<< HEAD\nx: 1\n=======\nx: 2\n>>>>>>> other\n", name)


def test_what_only_looks_like_a_mark_is_none() -> None:
    assert merging.conflict(b"a: '<<<<<<< HEAD'\n# =======\n  >>>>>>> b\n<<<<<<<\n") is None


def test_the_study_has_a_command_of_its_own() -> None:
    assert "make study" in merging.fix("study/dvc.lock") and "make large" in merging.fix("study/large/dvc.lock")
