"""A dvc.lock, or DVC's list of what is busy, that ends somewhere."""

import shutil
import subprocess
from pathlib import Path

import pytest
from pipeline import Pipeline
from ruamel.yaml import YAML

from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations import recover
from domain_denoiser.runs import dvc_lock

LOCK = Path("dvc.lock")


@pytest.fixture
def repository(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A repository whose HEAD has the lock of the finished pipeline; the content of that lock."""
    monkeypatch.chdir(tmp_path)
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        subprocess.run(command, check=True)
    shutil.copy(pipeline.root / LOCK, LOCK)
    subprocess.run(["git", "add", LOCK], check=True)
    who = ["-c", "user.name=Tester", "-c", "user.email=tester@example.invalid"]
    subprocess.run(["git", *who, "commit", "-q", "-m", "Reproduced"], check=True)
    return LOCK.read_bytes()


def test_a_lock_that_is_cut_off_anywhere_can_be_read_again(repository: bytes):
    repaired = 0
    for end in range(0, len(repository), len(repository) // 16):
        LOCK.write_bytes(repository[:end])
        told = recover.fix()
        if told:
            repaired += 1
            assert LOCK.read_bytes() == repository
            assert "is that of HEAD again" in told[0]
            assert any(path.read_bytes() == repository[:end] for path in recover.BUSY.parent.glob("dvc.lock.*"))
        else:
            assert LOCK.read_bytes() == repository[:end]
            stages = YAML(typ="safe").load(repository[:end]).get("stages", {})
            assert set(stages) <= set(dvc_lock.locked(repository, "HEAD"))
    assert repaired >= 4


def test_a_lock_that_was_never_committed_is_removed(repository: bytes):
    subprocess.run(["git", "rm", "-q", "--cached", LOCK], check=True)
    who = ["-c", "user.name=Tester", "-c", "user.email=tester@example.invalid"]
    subprocess.run(["git", *who, "commit", "-q", "-m", "Without"], check=True)
    LOCK.write_bytes(b"")
    assert "is removed" in recover.fix()[0]
    assert not LOCK.exists()


@pytest.mark.parametrize("content", ["", '{"write": {"/a'])
def test_a_list_that_is_cut_off_is_removed(repository: bytes, content: str):
    recover.BUSY.write_text(content)
    [told] = recover.fix()
    assert "rwlock was cut off" in told and "is removed" in told
    assert not recover.BUSY.exists()


def test_what_is_sound_stays(repository: bytes):
    recover.BUSY.write_text("{}")
    assert recover.fix() == []
    assert recover.BUSY.read_text() == "{}"
    assert LOCK.read_bytes() == repository


def test_what_dvc_accepts_and_we_do_not_is_left_alone(repository: bytes):
    ours = repository + b"  other:\n    cmd:\n    - one\n    - two\n"
    LOCK.write_bytes(ours)
    with pytest.raises(BadInput, match="cmd"):
        dvc_lock.workspace()
    assert recover.fix() == []
    assert LOCK.read_bytes() == ours


def test_a_merge_that_waits_for_somebody_is_left_alone(repository: bytes):
    conflict = b"<<<<<<< HEAD\n" + repository + b"=======\n>>>>>>> theirs\n"
    LOCK.write_bytes(conflict)
    with pytest.raises(BadInput, match="git checkout --theirs"):
        recover.fix()
    assert LOCK.read_bytes() == conflict


def test_nothing_is_touched_while_another_dvc_is_at_work(repository: bytes):
    from dvc.repo import Repo

    LOCK.write_bytes(b"")
    with Repo(".") as repo, repo.lock, pytest.raises(BadInput, match="another DVC is at work"):
        recover.fix()
    assert LOCK.read_bytes() == b""


def test_a_reproduction_goes_on_after_it(pipeline: Pipeline, tmp_path: Path):
    copied = pipeline.copy(tmp_path / "copy")
    whole = (copied.root / LOCK).read_bytes()
    (copied.root / LOCK).write_bytes(whole[: whole.index(b"md5", len(whole) // 2) + 1])
    assert copied.run("dvc", "repro", check=False).returncode != 0
    assert "is that of HEAD again" in copied.run("denoise", "recover").stdout
    printed = copied.run("dvc", "repro").stdout
    assert "Running stage" not in printed
    assert (copied.root / LOCK).read_bytes() == whole
