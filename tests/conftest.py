"""What the tests of single modules share: the small real MNIST sample, and MNIST's params.yaml to vary."""

import copy
import gzip
import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings
from pipeline import PARAMS
from ruamel.yaml import YAML

from domain_denoiser import params

if TYPE_CHECKING:
    import torch

    from domain_denoiser.data import sources
    from domain_denoiser.networks import unet
    from domain_denoiser.training import loop

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "tests/data/mnist"
SERVERS = {"team", "server", "browser", "mounting", "studied"}  # fixtures
PIPELINES = {"pipeline", "studied"}
CHAMPION = {"page_address"}  # of the page with the champion in git
WITHOUT_A_PIPELINE = {"test_bad_inputs.py", "test_publishing.py"}  # the longest of these

# The processes that tests start import the package of this checkout, as pytest itself does.
for name in [name for name in os.environ if name.startswith("PYTHON")]:
    del os.environ[name]
os.environ["PYTHONPATH"] = str(ROOT / "src")
# A shell that runs the tests in the background has them, and all that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# No test depends on how fast the machine is, nor on what an earlier run found.
repeatable = {"deadline": None, "derandomize": True, "database": None}
hypothesis_settings.register_profile("quick", max_examples=20, **repeatable)
hypothesis_settings.register_profile("thorough", max_examples=100, **repeatable)  # in `make test-services`
hypothesis_settings.register_profile("exhaustive", max_examples=1000, **repeatable)  # by hand: docs/testing.md
hypothesis_settings.load_profile("quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a project of other images what is marked `mnist` has nothing to look at, so it is left out, and not skipped.

    Whoever asks for a server, a browser, a team of clones or the study takes part of `make test-services`.

    The files that work on a pipeline take longest, so they come first: no process is left alone with one at the end.
    Two of the others come between, for the process that would wait until the pipeline is made.
    """
    for item in items:
        if CHAMPION & set(item.fixturenames):
            item.add_marker(pytest.mark.mnist)
    if params.read_domain(ROOT / "params.yaml").name != "mnist":
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("mnist")])
        items[:] = [item for item in items if not item.get_closest_marker("mnist")]
    for item in items:
        if SERVERS & set(item.fixturenames):
            item.add_marker(pytest.mark.services)
    long = list(dict.fromkeys(item.path for item in items if PIPELINES & set(item.fixturenames)))
    between = dict.fromkeys(item.path for item in items if item.path.name in WITHOUT_A_PIPELINE)
    order = {path: place for place, path in enumerate([*long[:1], *between, *long[1:]])}
    items.sort(key=lambda item: order.get(item.path, len(order)))


@pytest.fixture(autouse=True)
def mlflow_points_nowhere() -> Iterator[None]:
    """What a test tells MLflow in this process (it is global there, and exported) does not reach the next one."""
    yield
    if mlflow := sys.modules.get("mlflow"):
        mlflow.set_tracking_uri(None)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Torch is imported by the processes that run tests, not by the one that hands them out."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def torch_is_as_before() -> Iterator[None]:
    """`compute.prepare` sets it for the whole process.

    Where denormals are zeros, hypothesis refuses to draw numbers; and with more threads, last bits are others.
    """
    yield
    torch = sys.modules["torch"]
    torch.set_flush_denormal(False)
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def idx_files() -> dict[str, bytes]:
    """The uncompressed IDX files of the sample: 1,200 training and 200 test images."""
    return {name: gzip.decompress((SAMPLE / f"{name}.gz").read_bytes()) for name in params.IDX_FILES}


@pytest.fixture(scope="session")
def committed() -> dict:
    """What MNIST's params.yaml holds, whatever this project is of. Vary a copy: `values`."""
    return YAML(typ="safe").load(PARAMS.read_bytes())


@pytest.fixture
def values(committed) -> dict:
    """MNIST's params.yaml, but with the sample's split and two epochs; free to be changed."""
    varied = copy.deepcopy(committed)
    varied["data"]["split"] = {"train": 1000, "val": 100, "gate": 100}
    for model in varied["models"].values():
        model["epochs"] = 2
    return varied


@pytest.fixture
def write_params(tmp_path):
    """Write a params.yaml with the given values, and return its path."""

    def write(values: object) -> Path:
        path, yaml = tmp_path / "params.yaml", YAML()
        yaml.representer.ignore_aliases = lambda _: True  # a value that a test put in two places is written twice
        yaml.dump(values, path)
        return path

    return write


@pytest.fixture(scope="session")
def sample_sources(idx_files) -> params.Sources:
    """Where the sample comes from, as data/mnist.yaml says it of MNIST."""
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in idx_files.items()}
    given = {"sources": [f"dir:{SAMPLE}"], "timeout_s": 1.0, "limit_s": 60.0, "sha256": checksums}
    return params.Sources.model_validate(given)


@pytest.fixture(scope="session")
def sample(sample_sources) -> "tuple[sources.Labelled, sources.Labelled]":
    """The sample's training and test images with their labels."""
    from domain_denoiser.data import sources

    return sources.obtain(sample_sources, "the sample", lambda line: None)


@pytest.fixture(scope="session")
def digits(sample) -> np.ndarray:
    """The sample's 200 test images, uint8 [200, 28, 28]."""
    return sample[1].images


@pytest.fixture
def make_settings():
    """The settings of a model small enough for a test, with what the test wants otherwise."""

    def make(**changed: object) -> params.Model:
        small = {
            "architecture": "mlp",
            "hidden": 16,
            "output": "sigmoid",
            "regime": "fixed",
            "initialisation": "xavier",
            "noise": "fresh",
            "crop": None,
            "augment": False,
            "epochs": 2,
            "batch_size": 64,
            "loss": "mse",
            "precision": "float32",
            "optimizer": "rmsprop",
            "learning_rate": 0.003,
            "beta2": 0.99,
            "schedule": "constant",
            "ema": 0.0,
        }
        return params.Model.model_validate(small | changed)

    return make


@pytest.fixture
def make_images():
    """Clean uint8 images and their noisy ones as training takes them."""
    from domain_denoiser.core import images
    from domain_denoiser.training import loop

    def make(clean: np.ndarray, noisy: np.ndarray) -> "loop.Images":
        return loop.Images(images.to_float(clean, "cpu"), images.to_float(noisy, "cpu"))

    return make


@pytest.fixture
def tree():
    """Every path under a folder, to see that nothing was added or left behind."""

    def paths(folder: Path) -> set[str]:
        return {str(path.relative_to(folder)) for path in folder.rglob("*")}

    return paths


@pytest.fixture(scope="session")
def colour_settings() -> "unet.Settings":
    """Of a small network that restores three channels together."""
    from domain_denoiser.networks import unet

    return unet.Settings(
        architecture="unet",
        image_channels=3,
        residual=False,
        fine_channels=4,
        coarse_channels=8,
        fine_blocks=1,
        coarse_blocks=1,
    )


@pytest.fixture(scope="session")
def colour_network(colour_settings: "unet.Settings") -> "torch.nn.Module":
    """With random weights."""
    import torch

    from domain_denoiser.networks import architectures

    torch.manual_seed(2018)
    return architectures.build(colour_settings).eval().requires_grad_(False)
