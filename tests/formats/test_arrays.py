from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_denoiser.base.errors import BadInput
from domain_denoiser.formats import arrays
from domain_denoiser.formats.arrays import as_given, as_images
from domain_denoiser.formats.opening import opened

SHAPES = {
    (5, 4): (1, 5, 4, 1),
    (2, 5, 4): (2, 5, 4, 1),
    (2, 5, 4, 1): (2, 5, 4, 1),
    (2, 1, 5, 4): (2, 5, 4, 1),
    (2, 5, 4, 3): (2, 5, 4, 3),
    (5, 4, 3): (1, 5, 4, 3),
    (5, 4, 1): (1, 5, 4, 1),
    (1, 1): (1, 1, 1, 1),
    (2, 1, 1, 1): (2, 1, 1, 1),
    (2, 1, 4, 3): (2, 1, 4, 3),
    (2, 3, 4, 5): (2, 4, 5, 3),
    (2, 3, 4, 3): (2, 3, 4, 3),
}
TYPES = ["u1", "<u2", ">u2", "?", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "longdouble"]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_output_has_the_layout_type_and_byte_order_of_the_input(tmp_path, noise, rewritten, shape, dtype, order):
    array = np.asarray(noise(shape, np.dtype(dtype).newbyteorder("=")), dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    file = opened(tmp_path / "a.npy", None)
    assert (file.images, *file.size, file.channels) == SHAPES[shape]
    assert file.dtype == np.dtype(dtype).newbyteorder("=")
    assert file.dtype.isnative
    found = np.load(rewritten(tmp_path / "a.npy"))
    assert found.dtype.str == array.dtype.str
    assert found.shape == shape
    np.testing.assert_array_equal(found, array)


@given(st.sampled_from(list(SHAPES)), st.sampled_from("CF"), st.integers(1, 3))
def test_layouts_are_views_and_have_an_inverse(shape, order, factor):
    array = np.asarray(np.arange(np.prod(shape) * factor)[::factor].reshape(shape), order=order)
    images = as_images(array)
    assert images.shape == SHAPES[shape]
    assert np.shares_memory(images, array)
    np.testing.assert_array_equal(as_given(images, shape), array)


def test_images_are_not_mixed_up(noise):
    array = noise((3, 1, 5, 4), "u1")
    for each in (array, array[:, 0], array[:, 0, :, :, None]):
        np.testing.assert_array_equal(as_images(each)[1, :, :, 0], array[1, 0])
    np.testing.assert_array_equal(as_given(as_images(array)[1:], array.shape), array[1:])
    colour = noise((2, 3, 5, 4), "u1")
    np.testing.assert_array_equal(as_images(colour)[1, :, :, 2], colour[1, 2])
    np.testing.assert_array_equal(as_given(as_images(colour)[1:], colour.shape), colour[1:])


def test_blocks_are_parts(tmp_path, noise, rewritten, monkeypatch):
    monkeypatch.setattr(arrays, "PART", 45)
    np.save(tmp_path / "a.npy", noise((5, 4, 5), "u1"))
    assert [len(block) for block in opened(tmp_path / "a.npy", None).blocks()] == [2, 2, 1]
    np.testing.assert_array_equal(np.load(rewritten(tmp_path / "a.npy")), np.load(tmp_path / "a.npy"))
    monkeypatch.setattr(arrays, "PART", 1)
    assert [len(block) for block in opened(tmp_path / "a.npy", None).blocks()] == [1] * 5


@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_neither_a_file_nor_its_blocks_are_kept_open(tmp_path, noise, dtype):
    np.save(tmp_path / "a.npy", noise((3, 4, 5), dtype))
    before = list(Path("/proc/self/fd").iterdir())
    files = [opened(tmp_path / "a.npy", None) for _ in range(3)]
    blocks = [block for file in files for block in file.blocks()]
    assert len(list(Path("/proc/self/fd").iterdir())) == len(before)
    assert len(blocks) == 3


@pytest.mark.parametrize("other", [np.zeros((3, 4, 6), "u1"), np.zeros((3, 4, 5), "u2")], ids=["shape", "dtype"])
def test_a_file_that_changes_in_between_is_noticed(tmp_path, other):
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 5), "u1"))
    file = opened(tmp_path / "a.npy", None)
    np.save(tmp_path / "a.npy", other)
    with pytest.raises(BadInput, match="a.npy was changed while it was read"):
        list(file.blocks())


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (np.zeros(()), r"has the shape \[\], but"),
        (np.zeros(4), r"has the shape \[4\], but \[H, W\], \[N, H, W\]"),
        (np.zeros((2, 2, 4, 5)), r"has the shape \[2, 2, 4, 5\]"),
        (np.zeros((2, 4, 4, 4)), r"has the shape \[2, 4, 4, 4\]"),
        (np.zeros((1, 1, 1, 1, 1)), r"has the shape \[1, 1, 1, 1, 1\]"),
        (np.zeros((0, 4, 4)), r"has the shape \[0, 4, 4\], which holds no image"),
        (np.zeros((2, 4), np.int64), "holds int64 .* or float ones are wanted; convert them to uint8, uint16 or float"),
        (np.zeros((2, 4), np.int32), "holds int32 .* convert them to uint8, uint16 or float"),
        (np.zeros((2, 4), np.int16), "holds int16 values"),
        (np.zeros((2, 4), np.uint32), "holds uint32 values"),
        (np.zeros((2, 4), complex), "holds complex128 values"),
        (np.zeros((2, 4), "U3"), "holds <U3 values"),
        (np.zeros((2, 4), "M8[s]"), "holds datetime64.s. values"),
        (np.zeros((2, 4), [("x", "u1")]), "values, but uint8"),
        (np.array([[None]]), "is not a .npy array"),
    ],
    ids=str,
)
def test_array_that_holds_no_images(tmp_path, refuse, array, wanted):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    refuse(wanted, tmp_path / "a.npy")


def test_image_of_too_many_pixels(tmp_path, refuse):
    with (tmp_path / "a.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (13378, 13378)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 13378**2)  # a hole
    refuse("has 13378 x 13378 pixels, but 178,956,970 are the most of one image; cut it into parts", tmp_path / "a.npy")


def test_blocks_that_do_not_fit_are_a_mistake_of_the_program(tmp_path, noise):
    array = noise((3, 4, 5), "u1")
    np.save(tmp_path / "a.npy", array)
    file = opened(tmp_path / "a.npy", None)
    good = as_images(array)
    for blocks in ([good[:2]], [good, good], [good[:, :, :4]], [good.astype(np.uint16)], [good[..., 0]]):
        with pytest.raises(ValueError):
            file.write(tmp_path / "output.npy", iter(blocks), ".npy")
    with pytest.raises(ValueError, match=r"the block is float32 \[3, 4, 5, 1\], but uint8 \[3, 4, 5, 1\] is wanted"):
        file.write(tmp_path / "output.npy", [good.astype(np.float32)], ".npy")
