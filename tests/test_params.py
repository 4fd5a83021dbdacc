import math
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pipeline import PARAMS, of_images
from ruamel.yaml import YAML

from domain_denoiser import params
from domain_denoiser.base import parsing
from domain_denoiser.base.errors import BadInput, one_sentence
from domain_denoiser.networks import architectures

ROOT = Path(__file__).parent.parent


def at(values, key, value=None, *, remove=False):
    """Set or remove the value of a dotted key."""
    *path, last = key.split(".")
    for part in path:
        values = values[part]
    if remove:
        del values[last]
    else:
        values[int(last) if isinstance(values, list) else last] = value


def said(call, *arguments) -> str:
    """The one sentence of the BadInput."""
    with pytest.raises(BadInput) as raised:
        call(*arguments)
    sentence = str(raised.value)
    assert sentence.isprintable()
    return sentence


def test_committed_params_are_valid():
    held = YAML(typ="safe").load((ROOT / "params.yaml").read_bytes())
    read = params.read(ROOT / "params.yaml")
    assert set(read.models) == set(held["models"])
    assert read.model_dump(mode="json") == held


def keys(path: Path) -> dict[str, list[str]]:
    """Those of each section, but for the names that are one's own."""
    held = YAML(typ="safe").load(path.read_bytes())
    return {
        name: sorted(section) if isinstance(section, dict) and name not in ("models", "noisy", "filters") else []
        for name, section in held.items()
    }


@pytest.mark.mnist
def test_the_tests_work_with_params_of_the_form_in_use():
    """They have a file of their own, as a project of one's own images has other params; values may differ."""
    assert keys(PARAMS) == keys(ROOT / "params.yaml"), f"bring {PARAMS.relative_to(ROOT)} up to date"


def test_values_of_the_sample_are_valid(values, write_params):
    read = params.read(write_params(values))
    assert read.data.split.train == 1000
    assert read.models["fixed"].epochs == 2


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("seed", -1, "greater than or equal to 0"),
        ("seed", 2**63, "less than or equal to 9223372036854775807"),
        ("seed", "2018", "integer"),
        ("seed", True, "integer"),
        ("seed", 1.0, "integer"),
        ("seed", None, "integer"),
        ("compute.device", "gpu", "'cpu' or 'cuda'"),
        ("compute.threads", 0, "greater than or equal to 1"),
        ("compute.workers", 0, "greater than or equal to 1"),
        ("compute.workers", 65, "less than or equal to 64"),
        ("compute", "cpu", "dictionary"),
        ("data.origin", "../mnist.yaml", "match pattern"),
        ("data.split.gate", 0, "greater than or equal to 1"),
        ("noisy.fixed.sigma", 1.5, "less than or equal to 1"),
        ("noisy.fixed.sigma", -0.1, "greater than or equal to 0"),
        ("noisy.fixed.sigma", math.nan, "finite"),
        ("noisy.fixed.sigma", "0.5", "number"),
        ("noisy.fixed.law", "poisson", "'constant', 'uniform', 'given', 'levels'"),
        ("noisy.fixed", [0.5], "dictionary"),
        ("noisy.test.sigmas", [], "at least 1 item"),
        ("models", {}, "at least 1 item"),
        ("models.fixed", None, "dictionary"),
        ("models.conv.loss", "l1", "'mse', 'rmse' or 'log_mse'"),
        ("models.fixed.initialisation", "zeros", "'xavier'"),
        ("models.fixed.noise", "stale", "'fresh' or 'frozen'"),
        ("models.fixed.epochs", 2.5, "integer"),
        ("models.fixed.batch_size", 0, "greater than or equal to 1"),
        ("models.fixed.optimizer", "sgd", "'rmsprop'"),
        ("models.fixed.learning_rate", 0, "greater than 0"),
        ("models.fixed.learning_rate", math.nan, "finite"),
        ("models.fixed.beta2", 1.0, "less than 1"),
        ("models.fixed.schedule", "step", "'one_cycle'"),
        ("models.fixed.ema", -0.5, "greater than or equal to 0"),
    ],
)
def test_wrong_value_is_answered_with_key_value_and_what_is_allowed(values, write_params, key, value, wanted):
    at(values, key, value)
    sentence = said(params.read, write_params(values))
    path, _, rest = sentence.partition(": ")
    assert path.endswith("params.yaml")
    assert rest.startswith(f"{key} is {value!r}, but ")
    assert wanted in rest


@pytest.mark.parametrize(
    ("section", "name", "wanted"),
    [
        ("noisy", "Fixed", "[a-z]"),
        ("models", "../evil", "[a-z]"),
    ],
)
def test_wrong_name_of_an_entry(values, write_params, section, name, wanted):
    entries = values
    for part in section.split("."):
        entries = entries[part]
    entries[name] = next(iter(entries.values()))
    sentence = said(params.read, write_params(values))
    assert f"{section}.{name} is {name!r}, but " in sentence
    assert wanted in sentence


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        (
            "noisy.random",
            {"law": "uniform", "noise": "gaussian", "low": 0.5, "high": 0.5},
            "noisy.random must have low (=0.5) below high (=0.5)",
        ),
        ("noisy.test.sigmas", [0.0, 0.5, 0.5], "noisy.test.sigmas must ascend, but is [0.0, 0.5, 0.5]"),
        (
            "noisy.test.sigmas",
            [0.12, 0.12004],
            "noisy.test must have sigmas that differ by 0.0001 or more, but they are [0.12, 0.12004]",
        ),
        (
            "noisy.test",
            {"law": "constant", "noise": "gaussian", "sigma": 0.5},
            "must have noisy.test with the law levels",
        ),
        ("models.fixed.regime", "none", "must train models.fixed on one of plain, fixed, random, not on 'none'"),
        ("models.fixed.regime", "test", "must train models.fixed on one of plain, fixed, random, not on 'test'"),
    ],
)
def test_values_that_do_not_fit_together(values, write_params, key, value, wanted):
    at(values, key, value)
    assert wanted in said(params.read, write_params(values))


def test_model_must_not_have_the_name_of_the_unrestored_input(values, write_params):
    values["models"]["noisy"] = values["models"]["fixed"]
    assert "must not call a model 'noisy'" in said(params.read, write_params(values))


def test_model_must_not_have_the_name_of_a_filter(values, write_params):
    values["models"]["wavelet"] = values["models"]["fixed"]
    assert "must not call a model 'wavelet': that is the name of a filter" in said(params.read, write_params(values))


def test_a_first_champion_needs_a_floor_or_a_filter(values, write_params):
    values["gate"]["floors_db"] = {}
    assert "must have a noise level in gate.floors_db, or a filter in filters" in said(
        params.read, write_params(values)
    )
    values["filters"] = {"wavelet": [0.8, 1.0]}
    assert params.read(write_params(values)).filters == {"wavelet": [0.8, 1.0]}


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({"median": [1.0]}, "filters.median is 'median', but input should be 'nonlocal_means', 'wavelet' or"),
        ({"wavelet": []}, "filters.wavelet is [], but list should have at least 1 item"),
        ({"wavelet": [1.0, 0.5]}, "filters.wavelet must ascend, but is [1.0, 0.5]"),
        ({"wavelet": [0.0, 0.5]}, "filters.wavelet.0 is 0.0, but input should be greater than 0"),
        ({"wavelet": [1.0, 1.0]}, "filters.wavelet must ascend"),
        ({"wavelet": 1.0}, "filters.wavelet is 1.0, but input should be a valid list"),
    ],
)
def test_filters_have_strengths_above_zero_that_ascend(values, write_params, filters, wanted):
    values["filters"] = filters
    assert wanted in said(params.read, write_params(values))


@pytest.mark.parametrize("key", ["sead", "compute.gpu", "data.mirror", "noisy.fixed.low"])
def test_unknown_key_is_refused(values, write_params, key):
    at(values, key, 1)
    assert said(params.read, write_params(values)).endswith(f": {key} is not a known key")


@pytest.mark.parametrize(
    "key", ["seed", "compute", "data.origin", "data.split.val", "noisy.fixed.sigma", "models.fixed.beta2"]
)
def test_missing_key_has_no_default(values, write_params, key):
    at(values, key, remove=True)
    assert said(params.read, write_params(values)).endswith(f": {key} is missing")


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"seed: 1\nseed: 2\n", "duplicate key"),
        (b"seed: [1\n", "not valid YAML"),
        (b"seed: *nowhere\n", "line 1 uses the YAML alias 'nowhere', but every value must be spelled out"),
        (b"seed: 1\nmlp: &mlp\n  hidden: 3\n", "line 2 uses the YAML anchor 'mlp', but every value must be"),
        (b"models: # & *\n  fixed: {<<: {hidden: 3}}\n", "line 2 uses the YAML merge key '<<', but every value must"),
        (b"\x00", "not valid YAML"),
        (b"seed: \xff\xff\n", "not valid YAML"),
        (b"--- 1\n--- 2\n", "not valid YAML"),
        (b"seed: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
        (b"seed: !!bool perhaps\n", "not valid YAML"),
        (b"seed: !!int ''\n", "not valid YAML"),
        (b"[" * 100_000, "not valid YAML"),
        (b"", "dictionary"),
        (b"# nothing yet\n", "dictionary"),
        (b"- seed\n", "dictionary"),
        (b"seed\n", "dictionary"),
        (b"&a [*a]\n", "line 1 uses the YAML anchor 'a', but"),
    ],
)
def test_file_that_is_no_mapping_in_yaml(tmp_path, content, wanted):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    sentence = said(params.read, path)
    assert sentence.startswith(str(path))
    assert wanted in sentence


def test_missing_file(tmp_path):
    assert said(params.read, tmp_path / "params.yaml").endswith("cannot be read: No such file or directory")
    assert said(params.read, tmp_path).endswith("cannot be read: Is a directory")


def of_pairs(values: dict) -> dict:
    """Params of pairs of images, with one model."""
    of_images(values)
    values["data"]["kind"] = "pairs"
    values["noisy"] = {name: {"law": "given", "sigma": 0.1} for name in ("paired", "test")}
    values["models"]["small"].update(regime="paired", noise="frozen")
    values["gate"].update(allowed_loss_db={"0.1": 0.2})
    return values


def test_noise_is_given_where_there_are_pairs(values):
    read = params.check(params.Params, of_pairs(values), "params.yaml")
    assert read.levels == [0.1]
    assert isinstance(read.data, params.Pairs)
    values["data"]["kind"] = "images"
    sentence = said(params.check, params.Params, values, "params.yaml")
    assert "must have data.kind 'pairs' for noisy.paired, whose noisy images are given" in sentence


def test_noise_that_is_given_is_not_drawn_anew(values):
    of_pairs(values)["models"]["small"]["noise"] = "fresh"
    sentence = said(params.check, params.Params, values, "params.yaml")
    assert "must have models.small.noise 'frozen', as paired is given, not drawn" in sentence


def test_values_cannot_be_changed(values):
    read = params.check(params.Params, values, "params.yaml")
    with pytest.raises(ValueError, match="frozen"):
        read.models["fixed"].epochs = 3


@pytest.mark.parametrize(
    ("model", "key", "value", "wanted"),
    [
        (
            "fixed",
            "architecture",
            "transformer",
            "architecture is 'transformer', but one of ",
        ),
        ("conv", "fine_channels", 0, "fine_channels is 0, but input should be greater than or equal to 1"),
        ("fixed", "hidden", 0, "hidden is 0, but input should be greater than or equal to 1"),
        ("fixed", "hidden", 10**6, "hidden is 1000000, but input should be less than or equal to 100000"),
        ("fixed", "output", "softmax", "output is 'softmax', but input should be 'sigmoid', 'hard_sigmoid', "),
        ("fixed", "epoch", 1, "epoch is not a known key"),
    ],
)
def test_what_an_architecture_wants_is_its_own(values, write_params, model, key, value, wanted):
    at(values, f"models.{model}.{key}", value)
    read = params.read(write_params(values))
    sentence = said(architectures.check_all, read.models, "params.yaml")
    assert sentence.startswith(f"params.yaml: models.{model}: {wanted}")


def test_model_json_keeps_nothing_of_the_training(make_settings):
    kept = make_settings().network
    assert kept == {"architecture": "mlp", "hidden": 16, "output": "sigmoid"}


def test_bad_input_ends_the_program_with_one_sentence(capsys):
    with pytest.raises(SystemExit) as ended, one_sentence():
        raise BadInput("params.yaml: seed is missing")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: params.yaml: seed is missing\n"


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates()
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(value=ANYTHING)
def test_any_structure_is_params_or_bad_input(value):
    said(params.check, params.Params, value, "params.yaml")


@given(choose=st.data())
def test_any_value_anywhere_is_params_or_bad_input(choose, committed):
    """The valid values, but with anything at all in one place."""

    def varied(values):
        key = choose.draw(st.sampled_from(sorted(values)))
        if isinstance(values[key], dict) and values[key] and choose.draw(st.booleans()):
            return values | {key: varied(values[key])}
        return values | {choose.draw(st.sampled_from([key, "other", "", 1, "a\nb"])): choose.draw(ANYTHING)}

    value = varied(committed)
    try:
        assert params.check(params.Params, value, "params.yaml")
    except BadInput as error:
        assert str(error).isprintable()  # noqa: PT017


@given(content=st.binary(max_size=30) | st.text("&*!!<:[]{}-#|>%@'\"\n ab1.0", max_size=30).map(str.encode))
@example(content=b"<<<<<<< ")
def test_any_bytes_are_bad_input(content):
    try:
        parsing.parse(content, "params.yaml")
    except BadInput as error:
        merge = "params.yaml: a merge has left both sides in it, from line "
        assert str(error).startswith(("params.yaml is not valid YAML: ", "params.yaml: line ", merge))


def test_what_only_looks_like_an_anchor_is_a_value():
    content = b"a: 'b & c * d << e'  # &anchor *alias <<: *merged\n'<<': 1\n"
    assert parsing.parse(content, "params.yaml") == {"a": "b & c * d << e", "<<": 1}


@pytest.mark.parametrize("path", ["params.yaml", "study/params.yaml"])
def test_committed_values_are_spelled_out(path):
    assert parsing.parse((ROOT / path).read_bytes(), path)


def test_a_commit_may_have_anchors() -> None:
    """Those of older versions of this project had: they are still compared with, and shown."""
    content = b"mlp: &mlp {epochs: 30}\nmodels:\n  plain: {<<: *mlp, regime: plain}\n"
    assert parsing.parse_recorded(content, "params.yaml of abc")["models"]["plain"] == {"epochs": 30, "regime": "plain"}
    with pytest.raises(BadInput, match="line 1 uses the YAML anchor 'mlp'"):
        parsing.parse(content, "params.yaml")


@pytest.mark.parametrize(
    "content",
    [b"a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b]\n", b"a: &a [*a]\n", b"a: &a 1\nb: [" + b"*a, " * 101 + b"1]\n"],
    ids=["nested", "recursive", "many"],
)
def test_aliases_of_a_commit_do_not_multiply(content: bytes) -> None:
    with pytest.raises(BadInput, match="params.yaml of abc: line . uses the YAML alias"):
        parsing.parse_recorded(content, "params.yaml of abc")
