"""Values of every type, to [0, 1] and back."""

import numpy as np
import pytest

from domain_denoiser.runtime.scale import Scale


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("dtype,values", [("bool", 2), ("uint8", 256), ("uint16", 65536)])
def test_whole_numbers_survive(dtype, values, invert):
    given = np.arange(values).astype(dtype).reshape(1, -1, 2)
    scale = Scale(invert=invert)
    unit = scale.to_unit(given)
    assert unit.dtype == np.float32
    assert (unit.min(), unit.max()) == (0.0, 1.0)
    assert unit[0, 0, 0] == (1.0 if invert else 0.0)
    back = scale.from_unit(unit, given.dtype)
    assert back.dtype == given.dtype
    np.testing.assert_array_equal(back, given)


@pytest.mark.parametrize("low,high", [(0.0, 1.0), (0.0, 255.0), (-5.0, 3.0)])
@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8"])
def test_floats_survive_and_are_clipped(low, high, dtype):
    given = np.linspace(low, high, 11).astype(dtype).reshape(1, 11, 1)
    scale = Scale(low, high)
    unit = scale.to_unit(given)
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit.flatten(), np.linspace(0, 1, 11), atol=1e-3)
    back = scale.from_unit(unit, given.dtype)
    assert back.dtype == given.dtype
    np.testing.assert_allclose(back.astype(float), given.astype(float), atol=2e-3 * (high - low))
    assert scale.to_unit(np.array([low - 1, high + 1])).tolist() == [0.0, 1.0]


def test_inverting_is_what_a_negative_would_give():
    given = np.arange(256, dtype=np.uint8)
    np.testing.assert_allclose(Scale(invert=True).to_unit(given), Scale().to_unit(255 - given), atol=1e-6)
