import io
import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from domain_denoiser import restoring
from domain_denoiser.errors import BadInput
from domain_denoiser.restoring import restore_path

SIZE = (28, 28)


class Negative(nn.Module):
    """What comes out shows which image went in."""

    def forward(self, noisy):
        assert noisy.dtype == torch.float32
        assert noisy.shape[1:] == (1, *SIZE)
        return 1.0 - noisy


@pytest.fixture
def restore():
    return restoring.restorer(Negative(), "cpu")


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def refuse(restore, tmp_path, tree):
    """Restoring must end with a BadInput that says what is wanted, and write nothing."""

    def check(wanted, source, target):
        before = {name: (tmp_path / name).read_bytes() for name in tree(tmp_path) if (tmp_path / name).is_file()}
        folders = tree(tmp_path)
        with pytest.raises(BadInput, match=wanted):
            restore_path(restore, SIZE, source, target)
        assert tree(tmp_path) == folders
        assert {name: (tmp_path / name).read_bytes() for name in before} == before

    return check


def write_png(path, image):
    Image.fromarray(image).save(path, format="PNG")


def read_png(path):
    with Image.open(path) as opened:
        assert opened.format == "PNG"
        assert opened.mode == "L"
        return np.asarray(opened)


@pytest.mark.parametrize("count", [1, 200, 1001])
def test_array_of_bytes(restore, digits, tmp_path, count):
    given = np.resize(digits, (count, *SIZE))
    np.save(tmp_path / "noisy.npy", given)
    assert restore_path(restore, SIZE, tmp_path / "noisy.npy", tmp_path / "new" / "restored.npy") == count
    found = np.load(tmp_path / "new" / "restored.npy")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, 255 - given)


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_array_of_floats_keeps_width_and_byte_order(restore, digits, tmp_path, dtype, order):
    given = np.asarray(digits / 255, dtype=dtype, order=order)
    np.save(tmp_path / "noisy.npy", given)
    restore_path(restore, SIZE, tmp_path / "noisy.npy", tmp_path / "restored.npy")
    found = np.load(tmp_path / "restored.npy")
    assert found.dtype.str == dtype
    np.testing.assert_allclose(found.astype(float), 1 - given.astype(float), atol=1e-3 if "2" in dtype else 1e-6)


def test_restored_images_are_clipped(tmp_path, digits):
    class TooBright(nn.Module):
        def forward(self, noisy):
            return 3.0 * noisy - 1.0

    for given in (digits, (digits / 255).astype(np.float32)):
        np.save(tmp_path / "noisy.npy", given)
        restore_path(restoring.restorer(TooBright(), "cpu"), SIZE, tmp_path / "noisy.npy", tmp_path / "restored.npy")
        found = np.load(tmp_path / "restored.npy").astype(float) / (255 if given.dtype == np.uint8 else 1)
        assert (found.min(), found.max()) == (0.0, 1.0)
        np.testing.assert_allclose(found, (3 * (digits / 255) - 1).clip(0, 1), atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("name", ["noisy.png", "NOISY.PNG", "Ziffer größer 7 ☃.png"])
def test_picture(restore, digits, tmp_path, name):
    write_png(tmp_path / name, digits[0])
    (tmp_path / "restored").mkdir()
    assert restore_path(restore, SIZE, tmp_path / name, tmp_path / "restored" / name) == 1
    np.testing.assert_array_equal(read_png(tmp_path / "restored" / name), 255 - digits[0])


def test_folder_of_pictures(restore, digits, source, tmp_path, tree, monkeypatch):
    monkeypatch.setattr(restoring, "AT_ONCE", 2)  # so that five are more than are restored at once
    names = ["7.png", "two words.png", "größer ☃.png", "-rf.png", "x" * 251 + ".png"]
    for name, image in zip(names, digits):
        write_png(source / name, image)
    (source / "README.txt").write_text("not a picture")
    assert restore_path(restore, SIZE, source, tmp_path / "restored") == 5
    assert tree(tmp_path / "restored") == set(names)
    for name, image in zip(names, digits):
        np.testing.assert_array_equal(read_png(tmp_path / "restored" / name), 255 - image)
    assert tree(tmp_path) - {f"restored/{name}" for name in names} == {
        "source",
        "restored",
        "source/README.txt",
        *(f"source/{name}" for name in names),
    }


def test_folder_may_go_into_an_empty_one(restore, digits, source, tmp_path, tree):
    write_png(source / "7.png", digits[0])
    (tmp_path / "restored").mkdir()
    restore_path(restore, SIZE, source, tmp_path / "restored")
    assert tree(tmp_path) == {"source", "source/7.png", "restored", "restored/7.png"}


def test_input_is_left_as_it_is(restore, digits, source, tmp_path):
    write_png(source / "7.png", digits[0])
    np.save(source / "a.npy", digits)
    before = {path: path.read_bytes() for path in source.iterdir()}
    restore_path(restore, SIZE, source, tmp_path / "restored")
    restore_path(restore, SIZE, source / "a.npy", tmp_path / "restored.npy")
    assert {path: path.read_bytes() for path in source.iterdir()} == before


def test_older_output_file_is_replaced(restore, digits, tmp_path):
    np.save(tmp_path / "noisy.npy", digits)
    (tmp_path / "restored.npy").write_bytes(b"older")
    restore_path(restore, SIZE, tmp_path / "noisy.npy", tmp_path / "restored.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "restored.npy"), 255 - digits)


GREY = np.full((2, 28, 28), 0.5)


def with_value(value):
    changed = GREY.copy()
    changed[1, 3, 4] = value
    return changed


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (with_value(1.5), r"values from 0.5 to 1.5, but float images lie in \[0, 1\]"),
        (with_value(-0.1), "values from -0.1 to 0.5"),
        (with_value(np.nan), "values from nan to nan"),
        (with_value(np.inf), "values from 0.5 to inf"),
        (with_value(255.0).astype(np.float16), "values from 0.5 to 255"),
        (GREY[0], r"has the shape \[28, 28\], but the model takes \[N, 28, 28\]"),
        (GREY[:, :27], r"has the shape \[2, 27, 28\]"),
        (GREY[:, None], r"has the shape \[2, 1, 28, 28\]"),
        (GREY[:0], r"has the shape \[0, 28, 28\]"),
        (np.array(0.5), r"has the shape \[\]"),
        (GREY.astype(np.int64), "holds int64 values, but uint8 or float ones are wanted"),
        (GREY.astype(np.uint16), "holds uint16 values"),
        (GREY.astype(bool), "holds bool values"),
        (GREY.astype(complex), "holds complex128 values"),
        (np.array(["text"]), "holds <U4 values"),
        (np.zeros(2, dtype=[("x", "u1")]), "values, but uint8 or float ones are wanted"),
    ],
    ids=str,
)
def test_unfit_array_is_refused(refuse, tmp_path, array, wanted):
    np.save(tmp_path / "noisy.npy", array)
    refuse(wanted, tmp_path / "noisy.npy", tmp_path / "restored.npy")


class Payload:
    """Unpickling it leaves a folder behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickled_array_is_refused_and_not_executed(refuse, tmp_path):
    harm = tmp_path / "harm"
    np.save(tmp_path / "noisy.npy", np.array([Payload(harm)], dtype=object), allow_pickle=True)
    refuse("is not a .npy array", tmp_path / "noisy.npy", tmp_path / "restored.npy")
    assert not harm.exists()
    np.load(tmp_path / "noisy.npy", allow_pickle=True)  # what would have happened
    assert harm.exists()


def png(image, mode="L"):
    content = io.BytesIO()
    Image.fromarray(image).convert(mode).save(content, format="PNG")
    return content.getvalue()


def gif(image):
    content = io.BytesIO()
    Image.fromarray(image).save(content, format="GIF")
    return content.getvalue()


DIGIT = np.arange(784, dtype=np.uint16).reshape(28, 28).astype(np.uint8)
HUGE = png(DIGIT).replace(b"\0\0\0\x1c\0\0\0\x1c", b"\0\1\0\0\0\1\0\0")  # claims 65,536 x 65,536 pixels

SPOILT = pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (png(DIGIT, "RGB"), r"has the colour mode RGB, but 8-bit greyscale \(L\) is wanted"),
        (png(DIGIT, "LA"), "has the colour mode LA"),
        (png(DIGIT, "P"), "has the colour mode P"),
        (png(DIGIT, "1"), "has the colour mode 1"),
        (png(DIGIT, "I;16"), "has the colour mode I;16"),
        (png(DIGIT[:27]), "has 28 x 27 pixels, but the model takes 28 x 28"),
        (png(DIGIT)[:-30], "is not a whole PNG"),
        (png(DIGIT)[:20], "is not a whole PNG"),
        (HUGE, "64.png"),
        (b"just text\n", "is not a whole PNG"),
        (b"", "is not a whole PNG"),
        (gif(DIGIT), "is not a whole PNG"),
    ],
    ids=["RGB", "LA", "P", "1", "I;16", "size", "cut", "head alone", "huge", "text", "empty", "GIF"],
)


@SPOILT
def test_unfit_picture_is_refused(refuse, tmp_path, content, wanted):
    (tmp_path / "64.png").write_bytes(content)
    refuse(wanted, tmp_path / "64.png", tmp_path / "restored.png")


@SPOILT
def test_unfit_picture_in_a_folder_is_named_and_nothing_written(refuse, source, tmp_path, content, wanted):
    (source / "1.png").write_bytes(png(DIGIT))
    (source / "64.png").write_bytes(content)
    refuse("64.png", source, tmp_path / "restored")


def test_unfit_picture_after_restored_ones_leaves_nothing(refuse, source, tmp_path, monkeypatch):
    monkeypatch.setattr(restoring, "AT_ONCE", 1)
    (source / "1.png").write_bytes(png(DIGIT))
    (source / "2.png").write_bytes(b"")
    refuse("2.png", source, tmp_path / "restored")


def test_source_that_is_nothing_of_this(refuse, source, tmp_path):
    refuse("nowhere.npy does not exist", tmp_path / "nowhere.npy", tmp_path / "restored.npy")
    refuse("is a folder without .png files", source, tmp_path / "restored")
    (tmp_path / "noisy.txt").write_text("text")
    refuse("is neither a .npy file nor a .png file nor a folder of them", tmp_path / "noisy.txt", tmp_path / "r.txt")


def test_output_that_is_the_input(refuse, digits, source, tmp_path):
    np.save(tmp_path / "noisy.npy", digits)
    (source / "1.png").write_bytes(png(DIGIT))
    (tmp_path / "other name.npy").symlink_to(tmp_path / "noisy.npy")
    refuse("is the input itself", tmp_path / "noisy.npy", tmp_path / "noisy.npy")
    refuse("is the input itself", tmp_path / "noisy.npy", tmp_path / "other name.npy")
    refuse("is the input itself", source, source)
    refuse("is the input itself", source / "1.png", source / ".." / "source" / "1.png")


def test_output_of_another_kind(refuse, digits, tmp_path):
    np.save(tmp_path / "noisy.npy", digits)
    write_png(tmp_path / "noisy.png", digits[0])
    refuse("restored.png must be a .npy file, as the input is", tmp_path / "noisy.npy", tmp_path / "restored.png")
    refuse("restored must be a .png file, as the input is", tmp_path / "noisy.png", tmp_path / "restored")


def test_output_in_the_way(refuse, digits, source, tmp_path):
    np.save(tmp_path / "noisy.npy", digits)
    (source / "1.png").write_bytes(png(DIGIT))
    (tmp_path / "folder.npy").mkdir()
    refuse("folder.npy must be a .npy file", tmp_path / "noisy.npy", tmp_path / "folder.npy")
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("keep")
    refuse("full is there already", source, full)
    refuse("mine.txt is there already", source, full / "mine.txt")


def test_output_where_no_folder_can_be(refuse, digits, source, tmp_path):
    np.save(tmp_path / "noisy.npy", digits)
    (source / "1.png").write_bytes(png(DIGIT))
    (tmp_path / "file").write_text("no folder")
    refuse("cannot be written", tmp_path / "noisy.npy", tmp_path / "file" / "restored.npy")
    refuse("cannot be written", source / "1.png", tmp_path / "file" / "restored.png")
    refuse("cannot be written", source, tmp_path / "file" / "restored")
