import io
import os
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import images

EVERY_GREY = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
EVERY_GREY_OF_16_BITS = np.arange(65_536, dtype=np.uint16).reshape(1, 256, 256)
FORMS = {
    "8 bits grey": ((5, 7, 9), np.uint8),
    "16 bits grey": ((5, 7, 9), np.uint16),
    "8 bits colour": ((5, 3, 7, 9), np.uint8),
    "16 bits colour": ((5, 3, 7, 9), np.uint16),
}


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return content.getvalue()


def npy_header(shape: tuple[int, ...]) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return content.getvalue()


class Payload:
    """Unpickling it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_every_grey_value_survives_the_way_there_and_back():
    there = images.to_float(EVERY_GREY, "cpu")
    assert there.shape == (1, 1, 16, 16)
    assert there.dtype == torch.float32
    assert (there.min(), there.max()) == (0.0, 1.0)
    np.testing.assert_array_equal(images.stored(there, np.uint8), EVERY_GREY)


def random(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    return np.random.default_rng(2018).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def test_every_grey_value_of_16_bits_survives_the_way_there_and_back():
    there = images.to_float(EVERY_GREY_OF_16_BITS, "cpu")
    assert there.dtype == torch.float32
    assert (there.min(), there.max()) == (0.0, 1.0)
    assert torch.all(there.flatten().diff() > 0)  # no two of them become one
    back = images.stored(there, np.uint16)
    assert back.dtype == np.uint16
    np.testing.assert_array_equal(back, EVERY_GREY_OF_16_BITS)


@pytest.mark.parametrize(("shape", "dtype"), FORMS.values(), ids=FORMS)
def test_every_form_survives_the_way_there_and_back(tmp_path, shape, dtype):
    array = random(shape, dtype)
    images.save(tmp_path / "images.npy", array)
    mapped = images.mapped(tmp_path / "images.npy")
    there = images.to_float(mapped, "cpu")
    assert there.shape == (5, shape[1] if len(shape) == 4 else 1, 7, 9)
    torch.testing.assert_close(there.double().numpy().reshape(shape), array / np.iinfo(dtype).max, rtol=1e-6, atol=0)
    back = images.stored(there, mapped.dtype)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize(("shape", "dtype"), FORMS.values(), ids=FORMS)
def test_images_in_torch_are_scaled_as_those_on_disk(shape, dtype):
    array = random(shape, dtype)
    assert images.scaled(torch.from_numpy(array)).equal(images.to_float(array, "cpu"))
    assert images.channels(array) == images.channels(torch.from_numpy(array)) == (3 if len(shape) == 4 else 1)


def test_float_images_are_not_scaled_again():
    there = torch.rand(2, 3, 4, 4)
    assert images.scaled(there) is there


def test_colours_stay_where_they_are():
    red, green, blue = (np.full((2, 6, 4), grey, np.uint16) for grey in (65_535, 0, 13_107))
    there = images.to_float(np.stack([red, green, blue], 1), "cpu")
    assert there.shape == (2, 3, 6, 4)
    for channel, value in zip(there.unbind(1), (1.0, 0.0, 0.2)):
        torch.testing.assert_close(channel, torch.full((2, 6, 4), value))


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 3, 8, 8)])
def test_floats_of_either_form(shape):
    unit = random(shape, np.uint8).astype(np.float32) / 255
    there = images.from_unit(unit, "cpu")
    assert there.shape == (2, shape[1] if len(shape) == 4 else 1, 8, 8)
    back = images.to_unit(there, unit.dtype)
    assert back.shape == shape
    np.testing.assert_array_equal(back, unit)


def test_a_batch_has_at_most_so_many_values_and_at_least_one_image():
    colour = np.zeros((9, 3, 10, 10), np.uint8)
    assert [images.per_batch(values, colour) for values in (1, 300, 599, 600)] == [1, 1, 1, 2]
    assert images.per_batch(784_000, torch.zeros(2, 28, 28)) == 1000


def test_grey_values_of_16_bits_are_rounded_to_the_nearest():
    between = torch.tensor([0.0, 0.4, 0.6, 65_534.4, 65_534.6, 65_535.0], dtype=torch.float64).view(1, 1, 1, 6)
    np.testing.assert_array_equal(images.stored(between / 65_535, np.uint16), [[[0, 0, 1, 65_534, 65_535, 65_535]]])


def test_grey_values_are_rounded_to_the_nearest():
    between = torch.tensor([0.0, 0.4, 0.6, 254.4, 254.6, 255.0]).view(1, 1, 1, 6) / 255
    np.testing.assert_array_equal(images.stored(between, np.uint8), [[[0, 0, 1, 254, 255, 255]]])


def test_images_with_steps_are_taken_as_they_look():
    backwards = EVERY_GREY[:, ::-1, ::2]
    np.testing.assert_array_equal(images.stored(images.to_float(backwards, "cpu"), np.uint8), backwards)


def test_given_images_are_left_alone():
    given_images = EVERY_GREY.copy()
    images.to_float(given_images, "cpu").zero_()
    np.testing.assert_array_equal(given_images, EVERY_GREY)


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
def test_floats_of_any_width_and_byte_order(dtype):
    unit = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8).astype(dtype)
    there = images.from_unit(unit, "cpu")
    assert there.shape == (1, 1, 8, 8)
    assert there.dtype == torch.float32
    back = images.to_unit(there, unit.dtype)
    assert back.dtype == unit.dtype
    np.testing.assert_array_equal(back, unit)


def test_save_and_load_give_the_same_images(tmp_path, digits):
    images.save(tmp_path / "new folder" / "images.npy", digits)
    np.testing.assert_array_equal(images.load(tmp_path / "new folder" / "images.npy"), digits)


@pytest.mark.parametrize("at_once", [1, 7, 200, 1000])
def test_images_saved_in_parts_are_those_saved_whole(tmp_path, digits, at_once):
    images.save(tmp_path / "whole.npy", digits)
    parts = (digits[i : i + at_once] for i in range(0, len(digits), at_once))
    images.save_parts(tmp_path / "parts.npy", len(digits), parts)
    assert (tmp_path / "parts.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


@pytest.mark.parametrize(("count", "wanted"), [(199, "1 images too many"), (201, "1 images too few")])
def test_parts_of_another_number_of_images_leave_no_file(tmp_path, digits, count, wanted):
    with pytest.raises(ValueError, match=wanted):
        images.save_parts(tmp_path / "parts.npy", count, iter([digits[:100], digits[100:]]))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("noisy", "found"),
    [
        (np.zeros((2, 8, 8), np.uint16), r"uint16 \[2, 8, 8\]"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"uint8 \[2, 3, 8, 8\]"),
        (np.zeros((3, 8, 8), np.uint8), r"uint8 \[3, 8, 8\]"),
        (np.zeros((2, 8, 9), np.uint8), r"uint8 \[2, 8, 9\]"),
    ],
    ids=["16 bits", "colour", "more", "wider"],
)
def test_noisy_images_of_another_form_than_the_clean_ones_are_refused(tmp_path, noisy, found):
    images.save(tmp_path / "clean.npy", np.zeros((2, 8, 8), np.uint8))
    images.save(tmp_path / "noisy.npy", noisy)
    with pytest.raises(BadInput, match=rf"noisy.npy has {found}, but .*clean.npy has uint8 \[2, 8, 8\]"):
        images.mapped_pair(tmp_path / "clean.npy", tmp_path / "noisy.npy")


@pytest.mark.parametrize(("shape", "dtype"), FORMS.values(), ids=FORMS)
def test_pairs_of_one_form_are_read(tmp_path, shape, dtype):
    array = random(shape, dtype)
    for name in ("clean", "noisy"):
        images.save(tmp_path / f"{name}.npy", array)
    for mapped in images.mapped_pair(tmp_path / "clean.npy", tmp_path / "noisy.npy"):
        np.testing.assert_array_equal(mapped, array)


def test_mapped_images_can_be_written_into_and_the_file_stays(tmp_path, digits):
    images.save(tmp_path / "images.npy", digits)
    mapped = images.mapped(tmp_path / "images.npy")
    np.testing.assert_array_equal(mapped, digits)
    mapped[0] = 7
    np.testing.assert_array_equal(images.load(tmp_path / "images.npy"), digits)


def test_loaded_images_do_not_hang_on_the_file(tmp_path, digits):
    images.save(tmp_path / "images.npy", digits)
    loaded = images.load(tmp_path / "images.npy")
    (tmp_path / "images.npy").write_bytes(b"")
    loaded += 1
    np.testing.assert_array_equal(loaded, digits + 1)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 28, 28), np.float32),
        np.zeros((28, 28), np.uint8),
        np.zeros((2, 1, 28, 28), np.uint8),
        np.zeros((2, 4, 28, 28), np.uint8),
        np.zeros((2, 28, 28, 3), np.uint8),
        np.zeros((1, 2, 3, 28, 28), np.uint8),
        np.zeros((2, 28, 28), np.int16),
        np.zeros((2, 28, 28), np.uint32),
        np.zeros((2, 28, 28), ">u2"),
        np.zeros((0, 28, 28), np.uint8),
        np.array(["text"]),
    ],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_other_arrays_are_refused(tmp_path, array):
    (tmp_path / "images.npy").write_bytes(npy(array))
    with pytest.raises(
        BadInput, match=r"images.npy holds .* but uint8 or uint16 images \[N, H, W\] or \[N, 3, H, W\] are expected"
    ):
        images.load(tmp_path / "images.npy")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text\n",
        npy(EVERY_GREY)[:-1],
        npy(EVERY_GREY)[:20],
        npy_header((2**31, 28, 28)) + b"\0" * 100,
        npy_header((2**70, 28, 28)) + b"\0" * 100,
        npy_header((-1, 28, 28)) + b"\0" * 100,
        b"PK\x03\x04 looks like an archive",
    ],
    ids=["empty", "text", "cut", "header cut", "claims 2^31", "claims 2^70", "claims -1", "zip"],
)
def test_broken_files_are_refused(tmp_path, content):
    (tmp_path / "images.npy").write_bytes(content)
    with pytest.raises(BadInput, match="images.npy is not a .npy array"):
        images.load(tmp_path / "images.npy")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(BadInput, match="images.npy does not exist"):
        images.load(tmp_path / "images.npy")
    with pytest.raises(BadInput):
        images.load(tmp_path)


def test_nothing_is_unpickled(tmp_path):
    harm = tmp_path / "harm"
    np.save(tmp_path / "images.npy", np.array([Payload(harm)], dtype=object), allow_pickle=True)
    (tmp_path / "plain pickle.npy").write_bytes(pickle.dumps(Payload(harm)))
    for name in ("images.npy", "plain pickle.npy"):
        with pytest.raises(BadInput):
            images.load(tmp_path / name)
    assert not harm.exists()
    pickle.loads((tmp_path / "plain pickle.npy").read_bytes())  # what would have happened
    assert harm.exists()


@given(at=st.integers(0, len(npy(EVERY_GREY)) - 1), byte=st.integers(0, 255))
def test_any_altered_byte_is_an_array_or_bad_input(at, byte):
    content = bytearray(npy(EVERY_GREY))
    content[at] = byte
    with tempfile.NamedTemporaryFile(suffix=".npy") as opened:
        opened.write(content)
        opened.flush()
        try:
            found = images.load(Path(opened.name))
        except BadInput:
            return
    assert found.nbytes <= len(content)
