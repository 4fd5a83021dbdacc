"""Training in more than one process: what it gives, and how it ends when a worker does."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pytest
import torch
from pipeline import CHECKOUT, clean_environment
from safetensors.torch import load_file

from domain_denoiser.base import atomic
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import compute, images
from domain_denoiser.core.seeds import generator
from domain_denoiser.networks import architectures
from domain_denoiser.training import gradients, loop, workers
from domain_denoiser.training.initialisation import initialise
from domain_denoiser.training.optimizer import Flat

UNET = {
    "image_channels": 1,
    "residual": False,
    "fine_channels": 4,
    "coarse_channels": 4,
    "fine_blocks": 1,
    "coarse_blocks": 1,
}
WRITTEN = ("history.csv", "model.json", "model.safetensors", "platform.json")
PATIENCE_S = 900  # a training that takes so long hangs, however busy the machine is


class Thread(NamedTuple):
    """A worker as a thread of the test: what it gathers is what processes would."""

    rank: int
    workers: int
    told: list[torch.Tensor | None]
    barrier: threading.Barrier

    def gather(self, values: torch.Tensor) -> torch.Tensor:
        self.told[self.rank] = values
        self.barrier.wait()
        found = torch.stack(self.told)
        self.barrier.wait()
        return found


def together(workers: int, work) -> list:
    """What work(group) returns in each of so many threads."""
    barrier, told = threading.Barrier(workers), [None] * workers
    with ThreadPoolExecutor(workers) as threads:
        return list(threads.map(lambda rank: work(Thread(rank, workers, told, barrier)), range(workers)))


def shared(settings, workers: int, batch: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The error and the gradient of a batch, as each worker has them; of one process if it is one."""

    def of(group) -> tuple[torch.Tensor, torch.Tensor]:
        network = architectures.build(settings)
        initialise(network, "kaiming", generator("cpu", 2018, "initialisation"))
        weights = Flat(network)
        with gradients.gradient_of(network, weights, settings, group) as gradient:
            gradient(*batch_of(8))  # what is left of it must not count
            return gradient(*batch), weights.gradient

    return [of(loop.ALONE)] if workers == 1 else together(workers, of)


def batch_of(count: int) -> torch.Tensor:
    return torch.rand(2, count, 1, 28, 28, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("count", [1, 2, 5, 8])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_two_workers_have_the_gradient_of_one_process(make_settings, precision, count):
    if precision == "bfloat16" and not compute.bfloat16_instructions():
        pytest.skip("this processor has no instructions for bfloat16")
    settings = make_settings(architecture="unet", loss="log_mse", batch_size=8, precision=precision, **UNET)
    [(error, gradient)] = shared(settings, 1, batch_of(count))
    for found in shared(settings, 2, batch_of(count)):
        assert found[0].equal(error)
        assert found[1].numpy().tobytes() == gradient.numpy().tobytes()


@pytest.mark.parametrize("workers", [2, 3, 5])
@pytest.mark.parametrize("count", [1, 4, 8])
@pytest.mark.parametrize("architecture", ["mlp", "unet"])
def test_more_workers_have_it_up_to_rounding(make_settings, architecture, count, workers):
    own = UNET if architecture == "unet" else {}
    settings = make_settings(architecture=architecture, batch_size=8, **own)
    [(error, gradient)] = shared(settings, 1, batch_of(count))
    for found in shared(settings, workers, batch_of(count)):
        torch.testing.assert_close(found[0], error)
        assert (found[1] - gradient).norm() < 1e-5 * gradient.norm()


def test_a_worker_without_an_image_changes_no_sign_of_a_zero(make_settings):
    def of(group) -> torch.Tensor:
        weights = Flat(architectures.build(make_settings()))

        def part(noisy: torch.Tensor, clean: torch.Tensor, images: int) -> torch.Tensor:
            weights.gradient.fill_(-0.0)
            return torch.zeros(len(noisy))

        gradients.Shared(part, weights, group, 8)(*batch_of(1))
        return weights.gradient

    for gradient in together(3, of):
        assert gradient.signbit().all()


@pytest.mark.parametrize("workers", [2, 3])
def test_val_images_are_shared_and_measured_as_by_one_process(digits, make_images, monkeypatch, workers):
    monkeypatch.setattr(loop, "VALIDATED", 30 * 784)  # seven batches, the last of 20
    val, network = make_images(digits, 255 - digits), torch.nn.Conv2d(1, 1, 3, padding=1)
    alone = loop.validate(network, val)
    assert together(workers, lambda group: loop.validate(network, val, group)) == [alone] * workers


class Training(NamedTuple):
    """What the stage did."""

    status: int
    said: str
    folder: Path

    def written(self) -> dict[str, bytes]:
        assert self.status == 0, self.said
        assert not list(self.folder.glob(".running/**/*.checkpoint"))
        return {name: (self.folder / "models" / self.model / name).read_bytes() for name in WRITTEN}

    def weights(self) -> torch.Tensor:
        assert self.status == 0, self.said
        read = load_file(self.folder / "models" / self.model / "model.safetensors")
        return torch.cat([read[name].flatten() for name in sorted(read)])

    def best_db(self) -> float:
        rows = (self.folder / "models" / self.model / "history.csv").read_text().splitlines()
        place = rows[0].split(",").index("val_psnr_db")
        return max(float(row.split(",")[place]) for row in rows[1:])

    @property
    def model(self) -> str:
        [folder] = (self.folder / "models").iterdir()
        return folder.name


class Stage:
    """stages/train.py, on eleven images of the sample."""

    def __init__(self, folder: Path, values: dict, write_params, digits: np.ndarray) -> None:
        self.folder, self._values, self._write, self._digits = folder, values, write_params, digits

    def prepare(self, model: str, workers: int, **changed: object) -> None:
        settings = self._values["models"][model]
        settings.update({"batch_size": 5} | (UNET if settings["architecture"] == "unet" else {}) | changed)
        self._values["compute"].update({"threads": 1, "workers": workers})
        self._write(self._values)
        regime = settings["regime"]
        for split, count in (("train", 11), ("val", 7)):  # batches of 5, 5 and 1
            drawn = self._digits[:count]
            images.save(self.folder / f"data/clean/{split}_images.npy", drawn)
            images.save(self.folder / f"data/noisy/{regime}/{split}.npy", drawn // 2)
        atomic.write_json(self.folder / f"data/noisy/{regime}/law.json", self._values["noisy"][regime])

    def start(self, model: str) -> subprocess.Popen[str]:
        """As a program in the background of a script: Ctrl-C is ignored."""
        return subprocess.Popen(
            ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, CHECKOUT / "stages/train.py", model],
            cwd=self.folder,
            env=clean_environment(CHECKOUT, real=True) | {"MLFLOW_TRACKING_URI": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def end(self, running: subprocess.Popen[str]) -> Training:
        said = running.communicate(timeout=PATIENCE_S)[1]
        return Training(running.returncode, said, self.folder)

    def __call__(self, model: str, workers: int, **changed: object) -> Training:
        self.prepare(model, workers, **changed)
        return self.end(self.start(model))

    def until_it_trains(self, model: str) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
        """The stage, and its workers in the order of their ranks, when there is a checkpoint."""
        running, deadline = self.start(model), time.monotonic() + PATIENCE_S
        while not list(self.folder.glob(".running/**/*.checkpoint")):
            assert running.poll() is None, running.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        below = psutil.Process(running.pid).children()
        processes = [one for one in below if "spawn_main" in " ".join(one.cmdline())]
        return running, sorted(processes, key=lambda one: one.pid)


@pytest.fixture
def stage(tmp_path, values, write_params, digits):
    """Makes stages, each in a folder of its own."""

    def make(name: str) -> Stage:
        folder = tmp_path / name
        folder.mkdir()
        return Stage(folder, values, lambda changed: write_params(changed).rename(folder / "params.yaml"), digits)

    return make


def told(training: Training) -> list[str]:
    """What is said beside the progress of epochs."""
    return [line for line in training.said.splitlines() if not re.search(r"epoch \d+/\d+", line)]


@pytest.mark.services
def test_two_workers_write_the_bytes_of_one(stage):
    one, two = (stage(str(workers))("conv", workers, ema=0.5) for workers in (1, 2))
    assert two.written() == one.written()
    assert two.said.count("epoch 1/2") == one.said.count("epoch 1/2") == 1  # the first worker alone says it
    assert told(two) == []


@pytest.mark.services
@pytest.mark.parametrize(("model", "workers"), [("conv", 3), ("fixed", 2)])
def test_others_write_it_up_to_rounding_and_repeatably(stage, model, workers):
    one, first, second = (stage(name)(model, count) for name, count in (("a", 1), ("b", workers), ("c", workers)))
    assert first.written() == second.written()
    assert (first.weights() - one.weights()).abs().max() < 1e-3
    assert abs(first.best_db() - one.best_db()) < 0.01


@pytest.mark.services
@pytest.mark.parametrize(("before", "after", "rank"), [(2, 1, 0), (2, 1, 1), (1, 2, None)])
def test_a_killed_training_goes_on_with_another_number_of_workers(stage, before, after, rank):
    whole, killed = stage("whole")("conv", 1, epochs=200), stage("killed")
    killed.prepare("conv", before, epochs=200)
    running, processes = killed.until_it_trains("conv")
    if rank is None:
        running.kill()
        killed.end(running)
    else:
        processes[rank].kill()
        ended = killed.end(running)
        assert ended.status == 1
        assert told(ended) == [
            f"error: worker {rank} of 2 ended by SIGKILL; started again, the training goes on from its last checkpoint"
        ]
    assert not (killed.folder / "models").exists()
    went_on = killed("conv", after, epochs=200)
    assert re.search(r"models/conv: goes on after epoch \d+", went_on.said)
    assert went_on.written() == whole.written()


@pytest.mark.services
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL, "group"])
def test_no_worker_outlives_the_program(stage, end):
    made = stage("killed")
    made.prepare("conv", 2, epochs=100_000)
    running, processes = made.until_it_trains("conv")
    if end == "group":
        os.killpg(running.pid, signal.SIGKILL)
    else:
        running.send_signal(end)
    ended = made.end(running)
    assert not psutil.wait_procs(processes, timeout=60)[1]
    if end == signal.SIGTERM:
        assert (ended.status, told(ended)) == (143, ["error: stopped by SIGTERM"])


@pytest.mark.parametrize(
    ("rank", "error", "waits"), [(0, workers.Lost("x"), True), (1, BadInput("x"), True), (0, BadInput("x"), False)]
)
def test_the_cause_is_seen_first(monkeypatch, tmp_path, rank, error, waits):
    """Whoever fails because another failed waits; the first worker does not wait to say what is wrong."""
    waited = []
    monkeypatch.setattr(workers.time, "sleep", waited.append)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    monkeypatch.setattr(workers.os, "dup2", lambda nowhere, number: lost.append(number))
    lost: list[int] = []
    with pytest.raises(type(error)), workers._unheard(rank, tmp_path / "said"):
        raise error
    assert lost == [2]  # what C++ says while the process ends
    print("heard by launch", file=sys.stderr)
    sys.stderr.close()
    assert (tmp_path / "said").read_text() == "heard by launch\n"
    assert waited == [workers.CAUSE_S] * waits


@pytest.mark.services
def test_what_is_wrong_is_said_once(stage):
    steps = {"learning_rate": 10.0, "schedule": "constant", "fine_blocks": 6, "coarse_blocks": 6, "epochs": 200}
    diverged = stage("diverged")("conv", 2, **steps)
    assert diverged.status == 2
    [sentence] = told(diverged)
    assert sentence.startswith("error: models/conv: the loss ")
    refused = stage("refused")("conv", 2, crop=29)
    assert refused.status == 2
    assert told(refused) == ["error: crops of 29 x 29 pixels do not fit into images of 28 x 28"]
