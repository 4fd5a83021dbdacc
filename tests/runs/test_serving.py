"""The champion over HTTP, by MLflow's own server: what comes back is what `Denoiser` and `denoise restore` give."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import servers
import serving
import warm

from domain_denoiser import Denoiser
from domain_denoiser.networks import exporting
from domain_denoiser.runs import champion

pytestmark = [pytest.mark.services, pytest.mark.mnist]
ROOT = Path(__file__).parents[2]
DIGITS = 100


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed champion in a project in which nothing was trained, brought into MLflow."""
    folder = tmp_path_factory.mktemp("serving")
    for name in ("champion.json", "params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / champion.FOLDER, folder / champion.FOLDER)
    (folder / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc")
    for command in (["git", "init", "-q"], [warm.programs() / "denoise", "sync"]):
        subprocess.run(command, cwd=folder, env=servers.environment(), check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def url(project: Path) -> Iterator[str]:
    with servers.model(project, serving.CHAMPION) as served:
        yield served


@pytest.fixture(scope="module")
def denoiser(project: Path) -> Denoiser:
    return Denoiser.load(project / champion.GRAPH)


@pytest.fixture
def noisy(digits: np.ndarray) -> np.ndarray:
    """float32 [100, 28, 28]."""
    noise = np.random.default_rng(2018).normal(0.0, 0.5, (DIGITS, 28, 28))
    return np.float32((digits[:DIGITS] / 255 + noise).clip(0.0, 1.0))


def served(url: str, noisy: np.ndarray) -> np.ndarray:
    """Restored images [N, H, W], clipped as docs/serving.md says, by the very function that it shows."""
    [function] = re.findall(r"^```python\n(import json.*?)^```$", (ROOT / serving.PAGE).read_text(), re.M | re.S)
    given = {}
    exec(function, given)
    return given["restored"](noisy, f"{url}/invocations")


def assert_near(found: np.ndarray, wanted: np.ndarray) -> None:
    """As near as a graph is to its network."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=exporting.TOLERANCE)


def test_a_hundred_digits(url: str, denoiser: Denoiser, noisy: np.ndarray) -> None:
    assert_near(served(url, noisy), denoiser(noisy))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (27, 29), (64, 33), (513, 257)])
def test_any_size(url: str, denoiser: Denoiser, size: tuple[int, int]) -> None:
    noisy = np.random.default_rng(2018).random((2, *size), dtype=np.float32)
    assert_near(served(url, noisy), denoiser(noisy[:, np.newaxis])[:, 0])  # [2, 1, 1] would be one image


def test_the_command_line_restores_the_same(url: str, project: Path, noisy: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "noisy.npy", noisy)
    command = [warm.programs() / "denoise", "restore", "--project", project, "noisy.npy", "clean.npy"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert_near(served(url, noisy), np.load(tmp_path / "clean.npy"))


@pytest.mark.parametrize(
    "request_body",
    [
        b"",
        b"not JSON",
        b"{}",
        json.dumps({"inputs": [[[0.5]]]}).encode(),
        json.dumps({"inputs": [[[[0.5]], [[0.5]], [[0.5]]]]}).encode(),
        json.dumps({"inputs": [[[["white"]]]]}).encode(),
        json.dumps({"inputs": [[[[0.5, 0.5], [0.5]]]]}).encode(),
    ],
)
def test_a_bad_request_is_answered_and_the_next_one_served(url: str, noisy: np.ndarray, request_body: bytes) -> None:
    status, content = serving.answer(url, request_body)
    assert status == 400
    assert json.loads(content)["message"]
    assert served(url, noisy[:1]).shape == (1, 28, 28)


def test_it_listens_on_this_machine_alone(url: str) -> None:
    port = int(url.rpartition(":")[2])
    listening = {found.laddr.ip for found in psutil.net_connections("tcp") if found.laddr.port == port}
    assert listening == {"127.0.0.1"}
