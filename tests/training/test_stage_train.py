"""What the stage `train` refuses before it trains: images that the network of its model does not take."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pipeline import CHECKOUT, clean_environment

from domain_denoiser.base import atomic
from domain_denoiser.core import images

FORMS = {"grey": (4, 28, 28), "colour": (4, 3, 28, 28)}


@pytest.fixture
def train(tmp_path, values, write_params):
    """Run the stage on random images of a shape, by a model with the given changes: its exit status, what it said."""

    def run(model: str, shape: tuple[int, ...], **changed: object) -> tuple[int, str]:
        values["models"][model].update({"epochs": 1, "batch_size": 2} | changed)
        write_params(values)
        regime = values["models"][model]["regime"]
        drawn = np.random.default_rng(2018).integers(0, 256, shape, np.uint8)
        for split in ("train", "val"):
            images.save(tmp_path / f"data/clean/{split}_images.npy", drawn)
            images.save(tmp_path / f"data/noisy/{regime}/{split}.npy", drawn)
        atomic.write_json(tmp_path / f"data/noisy/{regime}/law.json", values["noisy"][regime])
        done = subprocess.run(
            [sys.executable, CHECKOUT / "stages/train.py", model],
            cwd=tmp_path,
            env=clean_environment(CHECKOUT, real=True) | {"MLFLOW_TRACKING_URI": ""},
            capture_output=True,
            text=True,
            timeout=600,
        )
        return done.returncode, done.stderr

    return run


def refused(folder: Path, answer: tuple[int, str]) -> str:
    """The sentence; nothing of a model is left."""
    status, said = answer
    assert status == 2, said
    assert not (folder / "models").exists()
    (sentence,) = said.splitlines()
    return sentence


@pytest.mark.parametrize(
    ("model", "changed", "found", "wanted"),
    [
        ("conv", {"image_channels": 3}, "grey", 3),
        ("conv", {"image_channels": 1}, "colour", 1),
        ("fixed", {}, "colour", 1),
    ],
)
def test_images_of_other_channels_than_the_network_takes_are_refused(train, tmp_path, model, changed, found, wanted):
    channels = {"grey": 1, "colour": 3}[found]
    assert refused(tmp_path, train(model, FORMS[found], **changed)) == (
        f"error: data/clean has images of {channels} channels, but the network of models.{model} in params.yaml takes "
        f"{wanted}"
    )


def test_parts_that_do_not_fit_into_the_images_are_refused(train, tmp_path):
    answer = train("conv", FORMS["colour"], image_channels=3, crop=29)
    assert "crops of 29 x 29 pixels do not fit into images of 28 x 28" in refused(tmp_path, answer)


@pytest.mark.parametrize(("side", "crop", "seen"), [(28, 16, "16 x 16"), (40, 28, "28 x 28"), (40, None, "40 x 40")])
def test_a_network_of_one_size_refuses_images_and_parts_of_another(train, tmp_path, side, crop, seen):
    sentence = refused(tmp_path, train("fixed", (4, side, side), crop=crop))
    assert "models.fixed in params.yaml takes 28 x 28 pixels" in sentence
    assert sentence.endswith(f"have {side} x {side}, and an epoch sees {seen}")


@pytest.mark.parametrize("model", ["fixed", "conv"])
def test_one_thread_and_two_train_equal_weights(train, tmp_path, values, model):
    found = []
    for threads in (1, 2):
        values["compute"]["threads"] = threads
        status, said = train(model, (200, 28, 28), batch_size=64, epochs=2)
        assert status == 0, said
        found.append((tmp_path / f"models/{model}/model.safetensors").read_bytes())
    assert found[0] == found[1]


def test_colour_images_are_trained_on_by_a_network_for_colour(train, tmp_path):
    small = {"fine_channels": 4, "coarse_channels": 4, "fine_blocks": 0, "coarse_blocks": 0}
    status, said = train("conv", FORMS["colour"], image_channels=3, crop=16, augment=True, **small)
    assert status == 0, said
    assert (tmp_path / "models/conv/model.safetensors").exists()
