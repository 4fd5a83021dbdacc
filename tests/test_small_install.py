"""The wheel in an environment that has no more than it requires: what restores images, nothing of the pipeline."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image
from test_cli import COMMANDS

pytestmark = pytest.mark.mnist  # whose champion is in the wheel
ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LARGEST_MB = 250
INSIDE = "domain_denoiser/champion/"
# The package of this checkout is not to be found, nor a project that somebody has named.
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DENOISE_", "VIRTUAL_"))}


def run(*words: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, **{"env": PLAIN} | more)


def built(folder: Path) -> Path:
    words = ("uv", "build", "-q", "--wheel", "--no-build-isolation", "--offline", "--python", sys.executable)
    run(*words, "-o", folder, cwd=ROOT, check=True)
    [wheel] = folder.glob("*.whl")
    return wheel


def installed(wheel: Path, python: str, folder: Path) -> Path:
    """The programs of a new environment with the wheel and what it requires."""
    run("uv", "venv", "-q", "--python", python, folder, check=True)
    run("uv", "pip", "install", "-q", "--python", folder / "bin/python", wheel, check=True)
    return folder / "bin"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def small(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(wheel, sys.executable, tmp_path_factory.mktemp("small") / "environment")


def test_the_wheel_has_the_package_and_the_champion_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        outside = [name for name in archive.namelist() if not name.startswith("domain_denoiser")]
        inside = {Path(name).name: archive.read(name) for name in archive.namelist() if name.startswith(INSIDE)}
    assert outside == []
    assert wheel.name.endswith("-py3-none-any.whl")
    hashes = {Path(path).name: md5 for path, md5 in json.loads(inside.pop("champion.json"))["files"].items()}
    del hashes["model.safetensors"]  # ONNX Runtime has its weights in the graph
    assert {name: hashlib.md5(content).hexdigest() for name, content in inside.items()} == hashes


def test_the_same_code_gives_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    assert built(tmp_path).read_bytes() == wheel.read_bytes()


@pytest.mark.services
def test_it_is_small(small: Path) -> None:
    listed = json.loads(run("uv", "pip", "list", "--format", "json", "--python", small / "python").stdout)
    names = {package["name"] for package in listed}
    pipeline = {Requirement(line).name for line in PROJECT["optional-dependencies"]["pipeline"]}
    assert {"torch", "dvc", "mlflow", "scipy", "pandas"} <= pipeline
    assert names & pipeline <= {"packaging", "pydantic"}  # which ONNX Runtime and Typer bring
    [packages] = small.parent.glob("lib/python*/site-packages")
    run(small / "python", "-m", "compileall", "-q", packages)  # as pip does
    size = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file())
    assert size < LARGEST_MB * 1e6, f"{size / 1e6:.0f} MB"


@pytest.mark.services
@pytest.mark.parametrize(
    "words", [("--version",), ("--help",), ("restore", "--help"), ("inspect", "--help")], ids=" ".join
)
def test_help_outside_of_a_project(small: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run(small / "denoise", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    shown = {"--version": f"denoise {PROJECT['version']}\n", "--help": "inspect"}.get(words[0], words[0])
    assert shown in done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What `denoise` takes for a project, with a model's name."""
    for name in (".dvc/config", "dvc.yaml", "models/conv/model.json"):
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / name).touch()
    return tmp_path / "project"


def assert_it_wants_the_pipeline(done: subprocess.CompletedProcess[str]) -> None:
    needed = r"error: this command needs the pipeline's packages \(\w+ is not installed\): "
    assert re.match(needed + r"pip install 'domain-denoiser\[pipeline\]', or `make setup` in a clone\n$", done.stderr)
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.services
@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"inspect", "restore"}))
def test_a_command_of_the_pipeline_says_what_it_needs(small: Path, project: Path, name: str) -> None:
    assert_it_wants_the_pipeline(run(small / "denoise", name, *COMMANDS[name], cwd=project))


@pytest.mark.services
def test_also_outside_of_a_project(small: Path, tmp_path: Path) -> None:
    assert_it_wants_the_pipeline(run(small / "denoise", "sync", cwd=tmp_path))


@pytest.mark.services
def test_the_shell_completes(small: Path, project: Path) -> None:
    # The shell is the one that the program was started from.
    shown = run("bash", "-c", f"{small}/denoise --show-completion; exit $?", cwd=project)
    assert "_DENOISE_COMPLETE=complete_bash" in shown.stdout, shown
    asked = {"_DENOISE_COMPLETE": "complete_bash", "COMP_WORDS": "denoise restore --model ", "COMP_CWORD": "3"}
    done = run(small / "denoise", cwd=project, env=PLAIN | asked)
    assert (done.stdout.split(), done.stderr) == (["conv"], "")


def assert_it_restores(programs: Path, folder: Path, idx_files: dict[str, bytes]) -> None:
    """By the champion in the package: it takes away most of the noise from a digit that it never saw."""
    digits = np.frombuffer(idx_files["t10k-images-idx3-ubyte"], np.uint8, offset=16).reshape(-1, 28, 28)
    clean = digits[0] / 255.0
    noisy = np.clip(clean + np.random.default_rng(1).normal(0.0, 0.5, clean.shape), 0.0, 1.0)
    Image.fromarray((noisy * 255.0).round().astype(np.uint8)).save(folder / "noisy.png")
    done = run(programs / "denoise", "restore", "noisy.png", "clean.png", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    restored = np.asarray(Image.open(folder / "clean.png")) / 255.0
    assert np.square(restored - clean).mean() < 0.1 * np.square(noisy - clean).mean()


@pytest.mark.services
def test_it_inspects_outside_of_a_project(small: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).normal(128.0, 25.5, (64, 64)).round().astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noisy.png")
    done = run(small / "denoise", "inspect", "--json", "noisy.png", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["noise"]["sigma"] == pytest.approx(0.1, rel=0.1)


@pytest.mark.services
def test_it_restores_outside_of_a_project(small: Path, tmp_path: Path, idx_files: dict[str, bytes]) -> None:
    assert_it_restores(small, tmp_path, idx_files)
    program = (
        "import sys, numpy; from domain_denoiser import Denoiser; print(Denoiser.champion()(numpy.zeros((5, 9))).shape)"
    )
    done = run(small / "python", "-c", program, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("(5, 9)\n", "")


@pytest.mark.services
def test_it_installs_and_restores_on_every_python_that_is_here(
    wheel: Path, tmp_path: Path, idx_files: dict[str, bytes]
) -> None:
    stated = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    here = [one for one in stated if run("uv", "python", "find", "--no-python-downloads", one).returncode == 0]
    assert f"3.{sys.version_info.minor}" in here
    for version in here:
        programs = installed(wheel, version, tmp_path / version)
        assert run(programs / "python", "--version").stdout.startswith(f"Python {version}.")
        assert_it_restores(programs, tmp_path, idx_files)
        assert run(programs / "denoise", "--version", cwd=tmp_path).stdout == f"denoise {PROJECT['version']}\n"
