"""Fitting a profile: the share of false alarms, few images, and images that are all alike."""

import domain_profiles as made
import numpy as np
import pytest

from domain_denoiser.domain import fitting, foreign
from domain_denoiser.domain.profile import written
from domain_denoiser.domain.statistics import sums


def test_a_share_of_the_domain_itself_is_called_foreign(digits):
    own = made.judged(np.tile(digits, (20, 1, 1)), 0.5, 1)
    easy, hard = made.judged(255 - digits, 0.5, 2), own[: len(digits)]
    for others, share in ((easy, fitting.FALSE_ALARMS[0]), (hard, fitting.FALSE_ALARMS[-1])):
        profile = fitting.fit(own, others)
        assert profile.false_alarms == share
        assert (profile.scores(own) > profile.threshold).mean() == pytest.approx(share, abs=1 / len(own))


def test_equal_images_give_equal_bytes(digits):
    assert written(made.of(digits[:60])) == written(made.of(digits[:60]))


@pytest.mark.parametrize("number", [2, 7, 49, 120])
def test_few_images_make_few_bins(digits, number):
    own = made.judged(digits[:number], 0.5, 1)
    profile = fitting.fit(own, made.judged(255 - digits[:number], 0.5, 2))
    assert 1 <= len(profile.bins) <= max(1, number // fitting.LEAST)
    assert len(fitting.fit(np.tile(own, (40, 1)), own).bins) <= fitting.BINS
    assert np.isfinite(profile.scores(own)).all()


def test_images_that_are_all_alike(digits):
    """As those of a model that died: nothing is divided by zero."""
    black = np.zeros((100, 28, 28), np.float32)
    profile = fitting.fit(sums(black, black), made.judged(digits, 0.5, 1))
    assert profile.findings(sums(black, black)) == [None] * 100
    assert None not in profile.findings(made.judged(255 - digits, 0.5, 1))


@pytest.mark.parametrize("kind", foreign.KINDS)
@pytest.mark.parametrize("shape", [(50, 28, 28), (50, 7, 12), (16, 3, 28, 28), (16, 3, 7, 12)], ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_foreign_images_are_others_of_the_same_form(digits, kind, shape, dtype):
    given = digits[: np.prod(shape[:-2]), : shape[-2], : shape[-1]].reshape(shape)
    white = np.iinfo(dtype).max
    clean = given.astype(dtype) * np.array(white // 255, dtype)
    before = clean.copy()
    found = [foreign.KINDS[kind](clean, np.random.default_rng(1)) for _ in range(2)]
    assert (found[0].shape, found[0].dtype) == (clean.shape, clean.dtype)
    np.testing.assert_array_equal(*found)
    np.testing.assert_array_equal(clean, before)
    assert (found[0] != clean).any()
    assert found[0].max() > white / 2
