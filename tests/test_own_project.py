"""A project of one's own images: there the tests of what is MNIST's are left out, and all others pass."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pipeline import CHECKOUT, Pipeline, clone, of_images

# One file at least of each kind that looks at what this project is of; none takes long.
NEUTRAL = (
    "tests/base/test_merging.py",
    "tests/base/test_plain_yaml.py",
    "tests/operations/test_card.py",
    "tests/operations/test_overrides.py",
    "tests/runtime/test_denoiser.py",
    "tests/study/test_study_params.py",
    "tests/test_cli.py",
    "tests/test_docs.py",
    "tests/test_params.py",
    "tests/test_structure.py",
)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """This project without results, made one of a folder of images that DVC keeps; nothing is reproduced."""
    made = clone(tmp_path_factory.mktemp("own") / "a clone")
    made.params(of_images)
    drawn = np.random.default_rng(1)
    (made.root / "data/images").mkdir()
    for name in "abc":
        Image.fromarray(drawn.integers(0, 256, (64, 80), np.uint8)).save(made.root / f"data/images/{name}.png")
    made.run("dvc", "add", "data/images")
    made.run("git", "add", "-A")
    made.run("git", "commit", "-q", "-m", "Images of one's own")
    return made


def pytest_in(own: Pipeline, *words: str) -> subprocess.CompletedProcess[str]:
    """What it does there, in a process that starts anew."""
    return own.run("pytest", "-p", "no:cacheprovider", *words, check=False, real=True, NO_SKIPS="1")


@pytest.mark.services
def test_what_is_of_mnist_is_not_collected(own: Pipeline) -> None:
    """And no file of tests wants results when it is imported."""
    done = pytest_in(own, "--collect-only", "-m", "mnist")
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout + done.stderr


@pytest.mark.services
def test_what_is_of_any_images_passes(own: Pipeline) -> None:
    done = pytest_in(own, "-m", "not services", *NEUTRAL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "deselected" in done.stdout


@pytest.mark.parametrize(
    ("made", "targets"),
    [
        ([], ["lint", "workflows", "setup-scale", "test", "test-services"]),
        (["dvc.lock"], ["lint", "workflows", "fresh", "setup-scale", "test", "test-services"]),
        (["dvc.lock", "champion.json"], ["lint", "workflows", "fresh", "site", "setup-scale", "test", "test-services"]),
    ],
    ids=["new", "reproduced", "promoted"],
)
def test_ci_checks_what_there_is(tmp_path: Path, made: list[str], targets: list[str]) -> None:
    """`make` writes down what it was asked for, and what .ci/run would install is as if it were there."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("chromium", "npm", "apt-get", "sudo", "make"):
        (programs / name).write_text('#!/bin/sh\n[ "${0##*/}" != make ] || echo "$NO_SKIPS$@" >> asked\n')
        (programs / name).chmod(0o755)
    (tmp_path / ".ci").mkdir()
    shutil.copy(CHECKOUT / ".ci/run", tmp_path / ".ci/run")
    for name in made:
        (tmp_path / name).touch()
    kept = {name: value for name, value in os.environ.items() if name != "NO_SKIPS"}
    environment = kept | {"PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run([tmp_path / ".ci/run"], env=environment, check=True, capture_output=True)
    expected = [f"1{name}" if name.startswith("test") else name for name in targets]
    assert (tmp_path / "asked").read_text().split() == expected
