"""A person's own images and the remote of a real DVC project: pushed with the results, never taken away by a pull."""

import subprocess
from pathlib import Path

import pytest

from domain_denoiser import layout
from domain_denoiser.base.processes import Failed
from domain_denoiser.operations.retraining import remote


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that DVC tracks in a project with a remote, which has nothing yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    layout.IMAGES.mkdir(parents=True)
    (layout.IMAGES / "1.png").write_bytes(b"one")
    Path("dvc.yaml").write_text("stages: {}\n")
    for command in (
        "git init -q",
        "dvc init -q",
        "dvc remote add -q --default there there",
        f"dvc add -q {layout.IMAGES}",
    ):
        subprocess.run(command.split(), check=True, capture_output=True)
    return layout.IMAGES


def test_images_are_pushed_and_pulled(images: Path):
    remote.push()
    subprocess.run(["rm", "-r", images, ".dvc/cache"], check=True)
    remote.pull()
    assert (images / "1.png").read_bytes() == b"one"


def test_a_pull_takes_no_image_that_dvc_does_not_know(images: Path):
    remote.push()
    (images / "2.png").write_bytes(b"two")
    with pytest.raises(Failed):
        remote.pull()
    assert (images / "2.png").read_bytes() == b"two"
