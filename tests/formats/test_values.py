import numpy as np
import pytest
import tifffile

from domain_denoiser.formats.opening import opened


@pytest.fixture(params=[".npy", ".tif"])
def save(request, tmp_path):
    """Write float images, [N, H, W], and return the path."""

    def write(array):
        path = tmp_path / f"a{request.param}"
        if request.param == ".npy":
            np.save(path, array)
        else:
            tifffile.imwrite(path, array)
        return path

    return write


def with_value(value, dtype=np.float32):
    array = np.full((2, 4, 5), 0.5, dtype)
    array[1, 2, 3] = value
    return array


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_values_within_the_range_need_no_note(save, dtype):
    for value in (0.0, 1.0):
        assert opened(save(with_value(value, dtype)), None).notes == ()


@pytest.mark.parametrize("value", [-0.05, -1e-7, 1.0000001, 1.04])
def test_values_a_little_outside_are_noted_and_left_as_they_are(save, value):
    array = with_value(value)
    path = save(array)
    file = opened(path, None)
    assert file.notes == (
        f"{path} has values from {array.min()!s} to {array.max()!s}; those outside [0, 1] are clipped to it",
    )
    np.testing.assert_array_equal(np.concatenate(list(file.blocks()))[..., 0], array)


@pytest.mark.parametrize("value", [-0.051, 1.051, 255.0])
def test_values_far_outside_are_refused_with_the_way_to_it(save, refuse, value):
    refuse(
        r"has values from .* but float images lie in \[0, 1\]; give their range with --range LOW,HIGH",
        save(with_value(value)),
    )
    refuse(r"np\.clip", save(with_value(value)))


def test_all_images_are_looked_at(save, refuse):
    for place in (0, 1):
        array = np.full((2, 1000, 900), 0.5, np.float32)
        array[place, 5, 6] = 2.0
        refuse("has values from 0.5 to 2.0", save(array))
        array[place, 5, 6] = -2.0
        refuse("has values from -2.0 to 0.5", save(array))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_is_no_number_is_refused(save, refuse, value, dtype):
    refuse("has values that are NaN or infinite, but finite ones are wanted", save(with_value(value, dtype)))
    refuse("NaN or infinite", save(with_value(value, dtype)), (0, 255))


def test_a_range_that_is_given_takes_the_place_of_0_to_1(save, refuse):
    path = save(with_value(255.0))
    file = opened(path, (0, 255))
    assert file.notes == ()
    assert max(block.max() for block in file.blocks()) == 255.0
    assert opened(path, (0, 250)).notes == (
        f"{path} has values from 0.5 to 255.0; those outside [0, 250] are clipped to it",
    )
    refuse(r"float images lie in \[0, 200\]", path, (0, 200))
    refuse(r"float images lie in \[10, 255\]", save(with_value(-5)), (10, 255))
    assert opened(save(with_value(-1000.0)), (-1024, 3071)).notes == ()


def test_a_range_is_for_float_images_only(save, refuse):
    for dtype in (np.uint8, np.uint16):
        refuse(f"holds {np.dtype(dtype)} values, whose range is known", save(np.ones((2, 4, 5), dtype)), (0, 255))
