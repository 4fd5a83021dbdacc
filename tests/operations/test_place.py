"""A project that was moved or copied, in folders whose names have blanks and umlauts."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from domain_denoiser import cli
from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations import place
from domain_denoiser.operations.doctor import packages

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project as `make setup` leaves it, but that the one program installed says no more than where it lies."""
    folder = tmp_path / "ein Ordner für Bilder"
    for name in (".venv/bin", "requirements", ".dvc"):
        (folder / name).mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "dvc.yaml", "requirements/all.lock", "requirements/uv.lock"):
        shutil.copy(ROOT / name, folder / name)
    program = folder / ".venv/bin/denoise"
    program.write_text('#!/bin/sh\necho "$0"\n')
    program.chmod(0o755)
    (folder / place.READY).write_text(f"{folder}\n")
    for name in ("pyproject.toml", "requirements/all.lock", "requirements/uv.lock"):
        os.utime(folder / name, (0, 0))
    monkeypatch.chdir(folder)
    return folder


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "--no-print-directory", *words], cwd=folder, capture_output=True, text=True)


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_make_runs_what_is_installed_in_the_folder(project: Path) -> None:
    assert make(project, "fresh").stdout.splitlines()[-1] == f"{project}/.venv/bin/denoise"
    done = make(project, "setup")
    assert (done.returncode, done.stdout) == (0, "")  # nothing to be done


@pytest.mark.parametrize("target", ["setup", "repro", "fresh"])
@pytest.mark.parametrize("moved", [shutil.move, shutil.copytree])
def test_make_says_what_to_do_in_a_folder_that_was_moved(project: Path, tmp_path: Path, target: str, moved) -> None:
    there = tmp_path / "anderswo"
    moved(project, there)
    done = make(there, target)
    said = f"error: .venv was made in {project}, not in {there}: rm -rf .venv && make setup"
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, said)
    (there / place.READY).write_text("")  # as earlier versions left it: nobody knows where that was
    assert make(there, target).returncode == 2


def test_a_command_does_not_run_the_code_of_another_folder(project: Path) -> None:
    place.check(project)
    (project / place.READY).write_text("/somewhere/else\n")
    with pytest.raises(BadInput, match=r"made in /somewhere/else.*rm -rf .venv && make setup"):
        place.check(project)
    done = CliRunner().invoke(cli.app, ["sync"])
    assert isinstance(done.exception, BadInput) and "made in /somewhere/else" in str(done.exception)
    (project / place.READY).unlink()
    place.check(project)  # an environment of somebody's own


def test_the_doctor_names_the_folder_that_the_code_is_from(project: Path) -> None:
    check = packages.belongs(project)
    assert check.verdict == "wrong" and str(place.code()) in check.said
    (project / place.READY).write_text("/somewhere/else\n")
    check = packages.belongs(project)
    assert check.verdict == "wrong" and "/somewhere/else" in check.said and check.fix == place.SETUP
    (project / place.READY).unlink()
    assert packages.belongs(ROOT).fine


def test_a_port_that_is_taken_is_said(project: Path) -> None:
    """And nothing is served: `make ui` would end well, and what is seen there be somebody else's."""
    (project / ".venv/bin/python").symlink_to(sys.executable)
    program(project / ".venv/bin/mlflow", "echo mlflow $*")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = make(project, "ui", f"PORT={port}")
        assert (done.returncode, done.stdout) == (2, "")
        said = f"error: port {port} of this machine is taken or none; PORT=5001 make ui takes another"
        assert done.stderr.splitlines()[0] == said
    done = make(project, "ui", f"PORT={port}")
    assert done.returncode == 0, done.stderr
    assert f"open http://127.0.0.1:{port}/" in done.stdout and f"--port {port}" in done.stdout
    assert make(project, "ui", "PORT=much").returncode == 2


def test_setup_says_what_takes_so_long_before_it_begins(project: Path) -> None:
    """With a Python that installs nothing, but says when it would."""
    shutil.rmtree(project / ".venv")
    installing = '[ "$1$2" != pipinstall ] || echo installing'
    python = f"""case "$*" in
        --version) echo Python 3.11.2;;
        "-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python; echo '{installing}' > .venv/bin/uv;
                         chmod +x .venv/bin/uv;;
    esac"""
    program(project / "some-python", python)
    done = make(project, "setup", "PYTHON=./some-python")
    assert done.returncode == 0, done.stderr
    before, installed, _, after = done.stdout.partition("installing\n")[0].splitlines(), *done.stdout.splitlines()[-3:]
    assert before[0] == "setup: making the environment .venv with Python 3.11.2"
    assert "installing" in before[1] and "about 6 GB" in before[1]
    assert installed == "installing"
    assert after.startswith("setup: done; the first start of each program takes some seconds longer")
    assert (project / place.READY).read_text() == f"{project}\n"
