import json
import math

import numpy as np
import pytest

from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import noisy_sets
from domain_denoiser.params import Constant, Levels, Uniform

FIXED = Constant(law="constant", noise="gaussian", sigma=0.5)
RANDOM = Uniform(law="uniform", noise="gaussian", low=0.0, high=1.0)
GREY = np.full((noisy_sets.BATCH // 784 + 20, 28, 28), 128, np.uint8)  # more than one batch


def corrupt(clean, law, seed, *name):
    """The noisy images whole, and their sigmas."""
    made = noisy_sets.corrupt(clean, law, seed, *name)
    return np.concatenate(list(made.parts)), made.sigma


def test_equal_seed_and_name_give_equal_bytes(digits):
    (first, sigma), (again, sigma_again) = (corrupt(digits, RANDOM, 2018, "random", "train") for _ in range(2))
    assert first.tobytes() == again.tobytes()
    assert sigma.tobytes() == sigma_again.tobytes()


@pytest.mark.parametrize("law", [FIXED, RANDOM], ids=lambda law: law.law)
@pytest.mark.parametrize("other", [(2019, "random", "train"), (2018, "random", "val"), (2018, "fixed", "train")])
def test_other_seed_or_name_gives_other_noise(digits, law, other):
    (first, sigma), (second, other_sigma) = corrupt(digits, law, 2018, "random", "train"), corrupt(digits, law, *other)
    assert law is FIXED or not np.any(sigma == other_sigma)
    changed = (first != second).reshape(len(digits), -1).any(1)
    assert changed.all()


def test_no_noise_leaves_the_images_as_they_are(digits):
    made, _ = corrupt(digits, Constant(law="constant", noise="gaussian", sigma=0.0), 2018, "plain")
    np.testing.assert_array_equal(made, digits)


def test_recorded_sigma_is_the_one_of_the_image():
    law = Uniform(law="uniform", noise="gaussian", low=0.02, high=0.1)  # so little that grey is never clipped
    made, sigma = corrupt(GREY, law, 2018, "random")
    assert made.dtype == np.uint8
    assert sigma.dtype == np.float32
    # Rounding to grey values adds the variance 1/12.
    measured = np.sqrt((made.astype(float) - 128).reshape(len(GREY), -1).var(1) - 1 / 12) / 255
    assert np.abs(measured / sigma - 1).max() < 6 / math.sqrt(2 * 784)


def test_every_image_has_noise_of_its_own():
    made, _ = corrupt(GREY, FIXED, 2018, "fixed")
    assert len(np.unique(made.reshape(len(GREY), -1), axis=0)) == len(GREY)


def test_clean_images_stay_as_they_are(digits):
    before = digits.copy()
    corrupt(digits, FIXED, 2018, "fixed")
    np.testing.assert_array_equal(digits, before)


@pytest.mark.parametrize("law", [FIXED, RANDOM], ids=lambda law: law.law)
def test_regime_comes_back_as_it_was_recorded(tmp_path, law):
    (tmp_path / noisy_sets.LAW).write_text(json.dumps(law.model_dump()))
    assert noisy_sets.load_regime(tmp_path) == law
    with pytest.raises(BadInput, match=f"has the law {law.law}, but noise levels are expected"):
        noisy_sets.load_levels(tmp_path)


def test_levels_come_back_as_they_were_recorded(tmp_path):
    (tmp_path / noisy_sets.LAW).write_text(
        json.dumps(Levels(law="levels", noise="gaussian", sigmas=[0.0, 0.1, 1.0]).model_dump())
    )
    levels = noisy_sets.load_levels(tmp_path)
    assert levels == [0.0, 0.1, 1.0]
    with pytest.raises(BadInput, match="has the law levels, but a regime to train on is expected"):
        noisy_sets.load_regime(tmp_path)


def test_every_level_has_a_file_of_its_own():
    names = [noisy_sets.level_file("test", sigma) for sigma in (0.0, 0.1, 0.25, 1.0)]
    assert len(set(names)) == 4
    assert names[1] == "test_0.1.npy"


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("{}", "law.json"),
        ('{"law": "poisson"}', "'constant', 'uniform', 'given', 'levels'"),
        ('{"law": "constant", "noise": "gaussian", "sigma": 7.0}', "less than or equal to 1"),
        ('{"law": "constant", "noise": "gaussian", "sigma": NaN}', "is not JSON: NaN"),
        ('{"law": "constant", "noise": "gaussian", "sigma": 1e999}', "finite"),
        ('{"law": "constant", "noise": "gaussian", "sigma": 0.5, "low": 0.1}', "low is not a known key"),
    ],
)
def test_broken_record_is_refused(tmp_path, content, wanted):
    (tmp_path / noisy_sets.LAW).write_text(content)
    for load in (noisy_sets.load_regime, noisy_sets.load_levels):
        with pytest.raises(BadInput, match=wanted):
            load(tmp_path)


def test_missing_record_is_refused(tmp_path):
    with pytest.raises(BadInput, match="law.json cannot be read: No such file"):
        noisy_sets.load_regime(tmp_path)
