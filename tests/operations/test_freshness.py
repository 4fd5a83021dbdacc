"""What is stale, as DVC itself says it, in a small project of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from domain_denoiser.base import processes
from domain_denoiser.operations import freshness

STAGES = """stages:
  first:
    cmd: cp source made
    deps: [source]
    outs: [made]
  second:
    cmd: cp made more
    deps: [made]
    params: [value]
    outs: [more]
"""
WARNING = "import sys; sys.stderr.write('WARNING: ' + 'a long warning of a package ' * 50 + chr(10))"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reproduced project of two stages in a clone that has none of its data."""
    folder = tmp_path / "Größe"
    folder.mkdir()
    monkeypatch.chdir(folder)
    subprocess.run("git init -q && dvc init -q && dvc config core.analytics false", shell=True, check=True)
    Path("dvc.yaml").write_text(STAGES)
    Path("source").write_text("content")
    Path("params.yaml").write_text("value: 1")
    subprocess.run(["dvc", "repro", "-q"], check=True)
    shutil.rmtree(".dvc/cache")
    for name in ("made", "more"):
        Path(name).unlink()
    return folder


def test_nothing_is_stale_without_any_data(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert freshness.stale_stages() == []
    assert capfd.readouterr() == ("", "")


def test_what_changed_is_stale_although_its_data_is_not_here(project: Path) -> None:
    Path("params.yaml").write_text("value: 2")
    assert freshness.stale_stages() == ["second"]
    Path("source").write_text("other")
    assert freshness.stale_stages() == ["first", "second"]


def test_a_long_warning_in_front_changes_nothing(project: Path, tmp_path: Path) -> None:
    Path("params.yaml").write_text("value: 2")
    (tmp_path / "sitecustomize.py").write_text(WARNING)
    program = "from domain_denoiser.operations import freshness; print(freshness.stale_stages())"
    paths = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert done.stdout == "['second']\n", done.stderr


def test_a_pipeline_that_dvc_cannot_read_is_one_sentence(project: Path) -> None:
    Path("dvc.yaml").write_text("stages: [")
    with pytest.raises(processes.Failed, match="DVC cannot say what is stale: .*dvc.yaml"):
        freshness.stale_stages()
