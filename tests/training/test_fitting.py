"""A training that was interrupted gives the bytes of one that was not."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from domain_denoiser import params
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import compute, noisy_sets
from domain_denoiser.core.seeds import generator
from domain_denoiser.networks import architectures
from domain_denoiser.training import fitting, loop
from domain_denoiser.training.initialisation import initialise
from domain_denoiser.training.loop import Images

ON = params.Compute(device="cpu", threads=1)
REGIME = params.Uniform(law="uniform", noise="gaussian", low=0.0, high=1.0)
UNET = {
    "architecture": "unet",
    "image_channels": 1,
    "residual": False,
    "fine_channels": 4,
    "coarse_channels": 8,
    "fine_blocks": 1,
    "coarse_blocks": 1,
}


class Killed(BaseException):
    """What a test does to a training in place of SIGKILL; the real one is in test_crash.py."""


@pytest.fixture
def fit(digits, make_settings, monkeypatch, tmp_path):
    """Train in the folder `name`; dies after `dies_after` epochs, if at all. Returns the epochs that were told."""
    monkeypatch.chdir(tmp_path)
    compute.prepare(ON)

    def run(name: str, dies_after: int | None = None, **changed: object) -> list[int]:
        settings = make_settings(**{"epochs": 4} | {key: value for key, value in changed.items() if key not in UNET})
        if "architecture" in changed:
            training_alone = {name: getattr(settings, name) for name in params.Training.model_fields}
            settings = params.Model.model_validate(training_alone | UNET)

        def pair(clean: np.ndarray) -> Images:
            corrupted = np.concatenate(list(noisy_sets.corrupt(clean, REGIME, 1, "fit").parts))
            return Images(torch.from_numpy(clean), torch.from_numpy(corrupted))

        network = architectures.build(settings)
        initialise(network, settings.initialisation, generator("cpu", 2018, "initialisation"))
        told = []

        def tell(row: dict[str, float]) -> None:
            told.append(row["epoch"])
            if row["epoch"] == dies_after:
                raise Killed

        task = fitting.Task(network, pair(digits[:150]), pair(digits[150:]), REGIME, settings, 2018)
        fitting.fit(Path(name), task, architectures.settings(settings.network, "here"), ON, tell)
        return told

    return run


def test_drawn_parts_of_colour_images_of_16_bits_go_on_as_if_never_stopped(make_settings, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    compute.prepare(ON)
    changed = {"crop": 8, "augment": True, "epochs": 4, "batch_size": 4}
    settings = make_settings(**UNET | {"image_channels": 3} | changed)
    described = architectures.settings({**UNET, "image_channels": 3}, "here")
    clean = np.random.default_rng(2018).integers(0, 2**16, (12, 3, 12, 20), np.uint16)
    noisy = np.concatenate(list(noisy_sets.corrupt(clean, REGIME, 1, "fit").parts))
    pair = Images(torch.from_numpy(clean), torch.from_numpy(noisy))

    def run(name: str, dies_after: int | None) -> None:
        network = architectures.build(described)
        initialise(network, "kaiming", generator("cpu", 2018, "initialisation"))

        def tell(row: dict[str, float]) -> None:
            if row["epoch"] == dies_after:
                raise Killed

        fitting.fit(Path(name), fitting.Task(network, pair, pair, REGIME, settings, 2018), described, ON, tell)

    run("whole", None)
    with pytest.raises(Killed):
        run("broken", 2)
    run("broken", None)
    assert content("broken") == content("whole")


def content(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.mark.parametrize(
    "changed",
    [
        {"optimizer": "rmsprop", "schedule": "one_cycle"},
        {"optimizer": "rmsprop_corrected", "ema": 0.9, "precision": "bfloat16"},
        {"optimizer": "adam", "loss": "rmse", "precision": "bfloat16", "ema": 0.9, "noise": "frozen"},
        UNET | {"optimizer": "adam", "loss": "rmse", "precision": "bfloat16"},
        UNET | {"optimizer": "muon", "loss": "log_mse", "ema": 0.9},
    ],
    ids=["rmsprop", "averaged", "autograd", "unet", "muon"],
)
def test_going_on_gives_the_bytes_of_never_having_stopped(fit, changed):
    fit("whole", **changed)
    for dies_after in (1, 3, 3):
        with pytest.raises(Killed):
            fit("broken", dies_after=dies_after, **changed)
        assert not Path("broken").exists()
    # The last death came before an epoch of its own: nothing is told twice, and nothing is left out.
    assert fit("broken", **changed) == [1, 2, 3, 4]
    assert content("broken") == content("whole")
    assert not (Path(".running") / "broken").exists()


def test_a_training_that_goes_on_does_not_begin_again(fit, capsys):
    with pytest.raises(Killed):
        fit("fixed", dies_after=2)
    capsys.readouterr()
    fit("fixed")
    said = capsys.readouterr().err
    assert "fixed: goes on after epoch 2" in said
    assert re.findall(r"epoch (\d)/4", said) == ["3", "4"]


def test_a_damaged_checkpoint_costs_an_epoch(fit, capsys):
    fit("whole")
    with pytest.raises(Killed):
        fit("fixed", dies_after=3)
    newest = Path(".running/fixed/000003.checkpoint")
    newest.write_bytes(newest.read_bytes()[:-1])
    fit("fixed")
    said = capsys.readouterr().err
    assert f"{newest} is damaged" in said
    assert "goes on after epoch 2" in said
    assert content("fixed") == content("whole")


def test_other_params_begin_anew(fit, capsys):
    fit("whole", learning_rate=0.002)
    with pytest.raises(Killed):
        fit("fixed", dies_after=3, learning_rate=0.001)
    fit("fixed", learning_rate=0.002)
    assert "of another training" in capsys.readouterr().err
    assert content("fixed") == content("whole")


def test_divergence_leaves_the_last_good_checkpoint_and_no_model(fit, monkeypatch, tree):
    whole = loop.fit

    def diverges(*task: object) -> Iterator[loop.Epoch]:
        yield from itertools.islice(whole(*task), 2)
        raise loop.Diverged("the loss is nan at epoch 3, step 1, learning rate 0.1")

    monkeypatch.setattr(loop, "fit", diverges)
    with pytest.raises(BadInput, match=r"^fixed: the loss is nan at epoch 3, step 1, learning rate 0.1$"):
        fit("fixed")
    assert tree(Path()) == {f".running/fixed/00000{n}.checkpoint" for n in (1, 2)} | {".running", ".running/fixed"}


@pytest.mark.parametrize("folder", ["/models/fixed", "models/../../fixed"])
def test_a_folder_that_leads_out_is_refused_before_anything_is_written(fit, tmp_path, tree, folder):
    with pytest.raises(ValueError, match="leads out of the project"):
        fit(folder)
    assert tree(tmp_path) == set()
