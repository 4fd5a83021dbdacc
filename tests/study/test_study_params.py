"""study/params.yaml: what it holds is checked, and a mistake ends in one sentence."""

import copy
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from domain_denoiser.base.errors import BadInput
from domain_denoiser.study import params as study_params

ROOT = Path(__file__).parents[2]

COMMITTED = YAML(typ="safe").load((ROOT / "study/params.yaml").read_bytes())


def read(tmp_path, change):
    values = copy.deepcopy(COMMITTED)
    change(values)
    path = tmp_path / "params.yaml"
    YAML().dump(values, path)
    return study_params.read(path)


def test_committed_file_is_read(tmp_path):
    found = read(tmp_path, lambda values: None)
    assert found.networks["keras"].settings.channels == 32
    assert found.large.settings.architecture == "unet"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda v: v.pop("levels"), "levels is missing"),
        (lambda v: v.update(extra=1), "extra is not a known key"),
        (lambda v: v["levels"].update(sigmas=[0.5, 0.1]), "levels.sigmas must ascend"),
        (lambda v: v["domains"].update(sigma=0.55), "must have domains.sigma"),
        (lambda v: v["networks"]["post"].update(domain="cats"), "networks.post.domain is 'cats'"),
        (lambda v: v["linear"].update(ridge=0.0), "linear.ridge is 0.0"),
        (lambda v: v["classical"]["strengths"].update(median=[]), "classical.strengths.median is"),
    ],
)
def test_mistakes_are_named(tmp_path, change, sentence):
    with pytest.raises(BadInput) as error:
        read(tmp_path, change)
    assert sentence in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        study_params.read(tmp_path / "none.yaml")
