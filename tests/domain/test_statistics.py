"""The statistics against their definitions, and over parts of images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_denoiser.domain.statistics import NAMES, SUMS, statistics, sums


def drawn(seed: int, height: int, width: int, number: int = 3) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    return tuple(draw.random((number, height, width), dtype=np.float32) for _ in range(2))


@given(st.integers(0, 99), st.integers(1, 12), st.integers(1, 12))
def test_they_are_what_their_definitions_say(seed, height, width):
    noisy, restored = drawn(seed, height, width)
    found, removed = statistics(sums(noisy, restored))
    for index, (y, x) in enumerate(zip(noisy.astype(float), restored.astype(float))):
        r, n = y - x, height * width
        expected = {
            "noisy_mean": y.mean(),
            "restored_mean": x.mean(),
            "restored_grey": np.sqrt((x * (1 - x)).mean()),
            "restored_edges": np.sqrt(((x[:, 1:] - x[:, :-1]) ** 2).sum() / n + ((x[1:] - x[:-1]) ** 2).sum() / n),
            "removed_across": (r[:, 1:] * r[:, :-1]).sum() / n,
            "removed_down": (r[1:] * r[:-1]).sum() / n,
        }
        np.testing.assert_allclose(found[index], [expected[name] for name in NAMES], atol=1e-6)
        assert removed[index] == pytest.approx(np.sqrt((r**2).mean()), abs=1e-6)


def test_channels_are_added_up():
    noisy, restored = (one.reshape(4, 3, 11, 7) for one in drawn(3, 11, 7, 12))
    by_channel = [sums(noisy[:, channel], restored[:, channel]) for channel in range(3)]
    np.testing.assert_allclose(sums(noisy, restored), sum(by_channel), rtol=1e-12)
    np.testing.assert_array_equal(sums(noisy[:, :1], restored[:, :1]), by_channel[0])


def test_sums_of_bands_add_up_but_for_what_lies_across_their_borders():
    noisy, restored = drawn(1, 40, 30)
    whole = sums(noisy, restored)
    bands = sum(sums(noisy[:, rows], restored[:, rows]) for rows in (slice(0, 17), slice(17, 40)))
    assert whole.shape == (3, SUMS)
    np.testing.assert_allclose(bands[:, [0, 1, 2, 3, 5, 6]], whole[:, [0, 1, 2, 3, 5, 6]], rtol=1e-6)
    across = np.concatenate([noisy, restored])[:, 17] - np.concatenate([noisy, restored])[:, 16]
    np.testing.assert_allclose(whole[:, 4] - bands[:, 4], (across[3:] ** 2).sum(1), rtol=1e-4)


def test_a_large_image_is_summed_up_as_exactly_as_a_small_one():
    noisy, restored = (np.tile(one, (1, 60, 60)) for one in drawn(2, 28, 28, 1))
    removed = (noisy - restored).astype(float)
    assert sums(noisy, restored)[0, 5] == pytest.approx((removed**2).sum(), rel=1e-6)
