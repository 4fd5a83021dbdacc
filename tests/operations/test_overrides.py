"""`-S key=value`: the value changes, and nothing else of params.yaml."""

from pathlib import Path

import pytest
from pipeline import PARAMS
from ruamel.yaml import YAML

from domain_denoiser import params
from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations.retraining import overrides

COMMITTED = PARAMS.read_text()


def lines_changed(*settings: str) -> list[tuple[str, str]]:
    """(before, after) of each line that differs."""
    after = overrides.applied(COMMITTED, settings)
    pairs = list(zip(COMMITTED.splitlines(), after.splitlines(), strict=True))
    return [(old, new) for old, new in pairs if old != new]


def test_no_setting_changes_no_byte() -> None:
    assert overrides.applied(COMMITTED, []) == COMMITTED


def test_one_model_gets_another_value() -> None:
    assert lines_changed("models.fixed.epochs=40") == [("    epochs: 30", "    epochs: 40")]
    values = YAML(typ="safe").load(overrides.applied(COMMITTED, ["models.fixed.epochs=40"]))
    assert {name: model["epochs"] for name, model in values["models"].items()} == {
        "plain": 30,
        "fixed": 40,
        "random": 30,
        "conv": 5,
    }


def test_comments_stay() -> None:
    [(old, new)] = lines_changed("seed=7")
    assert new == old.replace("2018", "7   ")
    [(old, new)] = lines_changed("models.plain.hidden=200")
    assert new == old.replace("300", "200")


def test_a_key_may_hold_a_dot() -> None:
    values = YAML(typ="safe").load(overrides.applied(COMMITTED, ["gate.floors_db.0.5=17.5"]))
    assert values["gate"]["floors_db"]["0.5"] == 17.5


def test_a_list_is_given_whole() -> None:
    values = YAML(typ="safe").load(overrides.applied(COMMITTED, ["noisy.test.sigmas=[0.0, 0.5]"]))
    assert values["noisy"]["test"]["sigmas"] == [0.0, 0.5]


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("seed", "-S 'seed' is not key=value"),
        ("=1", "-S '=1' is not key=value"),
        ("models.fixed.epoch=4", "params.yaml has no key 'models.fixed.epoch'"),
        ("seed.more=4", "params.yaml has no key 'seed.more'"),
        ("models.other.epochs=4", "params.yaml has no key 'models.other.epochs'"),
        ("mlp.epochs=5", "params.yaml has no key 'mlp.epochs'"),  # as it was called once
        ("seed=[", "-S 'seed=[': the value is not valid YAML"),
        ("models.fixed.epochs=0", "with these settings: models.fixed.epochs is 0, but"),
        ("models.fixed.epochs=many", "with these settings: models.fixed.epochs is 'many', but"),
    ],
)
def test_bad_settings_are_one_sentence_and_change_nothing(tmp_path: Path, setting: str, sentence: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(COMMITTED)
    with pytest.raises(BadInput) as raised:
        overrides.write(path, ["seed=1", setting])
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)
    assert path.read_text() == COMMITTED


def test_what_is_written_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(COMMITTED)
    overrides.write(path, ["models.random.learning_rate=1e-3", "compute.threads=1"])
    read = params.read(path)
    assert (read.models["random"].learning_rate, read.compute.threads) == (0.001, 1)


def test_anchors_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    """ruamel would keep them here; DVC's own `-S` writes them out."""
    path = tmp_path / "params.yaml"
    written = COMMITTED.replace("seed: 2018", "seed: &seed 2018")
    path.write_text(written)
    with pytest.raises(BadInput, match="line 13 uses the YAML anchor 'seed'"):
        overrides.write(path, ["models.fixed.epochs=40"])
    assert path.read_text() == written
