"""A profile of digits finds foreign images, says why, and is read as it was written, or refused."""

import copy
import json

import domain_profiles as made
import numpy as np
import pytest

from domain_denoiser.base.errors import BadInput
from domain_denoiser.domain import profile as profiles
from domain_denoiser.domain.profile import Finding, Profile, parse, written
from domain_denoiser.domain.statistics import NAMES


@pytest.fixture(scope="module")
def profile(digits) -> Profile:
    return made.of(digits[:100])


@pytest.mark.parametrize("sigma", [0.1, 0.5, 0.9])
def test_other_digits_are_of_the_domain(profile, digits, sigma):
    findings = profile.findings(made.judged(digits[100:], sigma, 3))
    assert sum(finding is not None for finding in findings) <= 5


@pytest.mark.parametrize("sigma", [0.1, 0.5, 0.9])
def test_negatives_are_foreign_by_their_brightness(profile, digits, sigma):
    findings = profile.findings(made.judged(255 - digits[100:], sigma, 3))
    assert None not in findings
    assert {NAMES[finding.statistic] for finding in findings} <= {"noisy_mean", "restored_mean"}
    for finding in findings:
        assert finding.low < finding.high < finding.found
        assert finding.side == 1
    assert np.mean([finding.sure for finding in findings]) > 0.9
    assert "brightness of the " in findings[0].sentence()
    assert " expected" in findings[0].sentence()


def test_what_stays_of_correlated_noise_is_a_finding(profile, digits):
    """Blurred noise is not removed pixel by pixel."""
    drawn = np.random.default_rng(1).standard_normal(digits.shape)
    blurred = (drawn + np.roll(drawn, 1, axis=2)) / np.sqrt(2)
    noisy = np.clip(digits / 255.0 + 0.4 * blurred, 0, 1).astype(np.float32)
    foreign = [found for found in profile.findings(made.sums(noisy, made.smoothed(noisy))) if found is not None]
    assert len(foreign) > 0.9 * len(digits)


def test_an_image_does_not_depend_on_the_others(profile, digits):
    together = made.judged(np.concatenate([digits[:20], 255 - digits[:20]]), 0.4, 9)
    assert profile.findings(together) == [profile.findings(one[None])[0] for one in together]


def test_it_is_read_as_it_was_written(profile, digits):
    text = written(profile)
    again = parse(text.encode(), "here")
    assert written(again) == text
    added = made.judged(digits, 0.3, 4)
    np.testing.assert_array_equal(again.scores(added), profile.scores(added))


def broken(change) -> str:
    def made_of(profile: Profile) -> str:
        values = copy.deepcopy(profile.as_json())
        change(values)
        return json.dumps(values)

    return made_of


def in_bin(**values):
    return broken(lambda profile: profile["bins"][0].update(values))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (broken(lambda values: values.pop("bins")), "'bins' is missing"),
        (broken(lambda values: values.update(bins=5)), "a list of bins"),
        (broken(lambda values: values.update(bins=[])), "numbers of the shape"),
        (broken(lambda values: values["bins"].pop()), "numbers of the shape"),
        (broken(lambda values: values["noise_edges"].reverse()), "in no order"),
        (in_bin(mean=[0.0]), r"numbers of the shape \[6\]"),
        (in_bin(mean=[1e60] * 6), "too large"),
        (in_bin(precision=[["1"] * 6] * 6), r"numbers of the shape \[6, 6\]"),
        (in_bin(limit=[20.0]), "numbers of the shape"),
        (in_bin(limit=-20.0), "negative"),
        (in_bin(low=[1.0] * 6, high=[0.0] * 6), "in no order"),
        (broken(lambda values: values.update(threshold="high")), "numbers of the shape"),
        (broken(lambda values: values.update(threshold=True)), "numbers of the shape"),
        (broken(lambda values: values.update(threshold=-1.0)), "negative"),
        (broken(lambda values: values.update(threshold=10**400)), "numbers of the shape|too large"),
        (broken(lambda values: values.update(false_alarms=0.0)), "negative, or too large"),
        (broken(lambda values: values.update(false_alarms=5e6)), "too large"),
        (broken(lambda values: values.update(statistics=["noisy_mean"])), "of the statistics noisy_mean, "),
        (lambda profile: "[]", "a list of bins"),
        (lambda profile: "{", "is not JSON"),
        (lambda profile: written(profile).replace("{", "{" + " " * profiles.LARGEST, 1), "has more than"),
        (lambda profile: written(profile).replace('"threshold":', '"threshold":NaN,"other":'), "is not JSON"),
    ],
)
def test_what_is_none_is_refused_in_a_sentence(profile, text, said):
    with pytest.raises(BadInput, match=rf"^the file .*({said})"):
        parse(text(profile).encode(), "the file")


def test_the_statistic_that_lies_furthest_outside_is_named(profile):
    """In widths of what is expected, whatever their order."""
    own = profile.bins[0]
    for index in range(len(NAMES)):
        outside = own.mean + 0.1 * (own.high - own.low)
        outside[0] = own.high[0] + 0.5 * (own.high[0] - own.low[0])
        outside[index] = own.low[index] - 2 * (own.high[index] - own.low[index])
        finding = profiles._finding(outside, own, sure=True)
        assert (finding.statistic, finding.side) == (index, -1)


def test_what_is_unusual_only_together_is_said_so():
    assert (
        Finding(0, 0.2, 0.1, 0.3, False).sentence() == "each of its statistics is usual, but not all of them together"
    )
    assert Finding(0, 0.4, 0.1, 0.3, False).sentence() == "brightness of the noisy image 0.4, 0.1 to 0.3 expected"
