"""The networks that only the study trains."""

from pathlib import Path

import pytest
import torch

from domain_denoiser.base.errors import BadInput
from domain_denoiser.networks import architectures, keras, stored
from domain_denoiser.params import Compute, Constant
from domain_denoiser.study import params as study_params
from domain_denoiser.study import training as study_training
from domain_denoiser.training import loop

ROOT = Path(__file__).parents[2]

STUDY = study_params.read(ROOT / "study/params.yaml")
FIXED = Constant(law="constant", noise="gaussian", sigma=0.5)
ONE = Compute(device="cpu", threads=1)


def test_keras_has_the_size_of_the_tutorial():
    made = keras.Keras(STUDY.networks["keras"].settings.channels)
    assert sum(weight.numel() for weight in made.parameters()) == 28_353


def test_upsampling_is_what_torch_does():
    features = torch.randn(2, 3, 4, 5)
    wanted = torch.nn.functional.interpolate(features, scale_factor=2, mode="nearest")
    assert torch.equal(keras._doubled(features), wanted)


@pytest.mark.parametrize("name", [*STUDY.networks, "large"])
def test_every_network_trains_and_is_found_again(name, tmp_path, digits, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = (STUDY.networks | {"large": STUDY.large})[name].settings
    small = {"unet": {"fine_channels": 4, "coarse_channels": 8}, "mlp": {"hidden": 8}, "keras": {"channels": 4}}
    settings = chosen.model_copy(update=small[chosen.architecture] | {"epochs": 1})
    made = []
    for folder in (Path("first"), Path("second")):
        study_training.fit(folder, {"train": digits[:128], "val": digits[128:]}, FIXED, settings, ONE, 3, "here")
        made.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert made[0] == made[1]  # equal inputs give equal bytes
    assert set(made[0]) == {"model.json", "model.safetensors", "history.csv", "platform.json"}
    restored = stored.load(Path("first"), "cpu")(torch.rand(2, 1, 28, 28))
    assert restored.shape == (2, 1, 28, 28)


def test_large_is_larger_than_conv(committed):
    conv = committed["models"]["conv"]
    assert STUDY.large.settings.fine_channels > conv["fine_channels"]
    assert STUDY.networks["conv_fashion"].settings.fine_channels == conv["fine_channels"]


@pytest.mark.parametrize("damage", ["no settings", "no weights", "other weights"])
def test_damaged_models_are_one_sentence(damage, tmp_path):
    settings = STUDY.networks["keras"].settings
    weights = keras.Keras(8 if damage == "other weights" else settings.channels).state_dict()
    stored.save(tmp_path, weights, architectures.settings(settings.network, "here"))
    if damage != "other weights":
        (tmp_path / {"no settings": "model.json", "no weights": "model.safetensors"}[damage]).unlink()
    with pytest.raises(BadInput):
        stored.load(tmp_path, "cpu")


def test_divergence_is_one_sentence(tmp_path, digits, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def diverge(*_):
        raise loop.Diverged("the loss is nan at epoch 1")

    monkeypatch.setattr(loop, "fit", diverge)
    clean = {"train": digits, "val": digits[:10]}
    with pytest.raises(BadInput, match="the loss is nan"):
        study_training.fit(
            Path("post"),
            clean,
            FIXED,
            STUDY.networks["post"].settings,
            ONE,
            1,
            "here",
        )
