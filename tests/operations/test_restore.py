import io
import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations import restore as restoring
from domain_denoiser.operations.restore import restore_path, restore_paths

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
    monkeypatch.setattr(restoring, "BATCH", 2)  # so that five are more than are restored at once
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
    monkeypatch.setattr(restoring, "BATCH", 1)
    (source / "1.png").write_bytes(png(DIGIT))
    (source / "2.png").write_bytes(b"")
    refuse("2.png", source, tmp_path / "restored")


def test_source_that_is_nothing_of_this(refuse, source, tmp_path):
    refuse("nowhere.npy does not exist", tmp_path / "nowhere.npy", tmp_path / "restored.npy")
    refuse("is a folder without .png files", source, tmp_path / "restored")
    (tmp_path / "noisy.txt").write_text("text")
    refuse("is neither a .npy file nor a .png file nor a folder of PNGs", tmp_path / "noisy.txt", tmp_path / "r.txt")


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


# A number that is close to a limit


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_just_outside_are_clipped_and_said(restore, tmp_path, dtype):
    given = with_value(1.0000001).astype(dtype)
    given[0, 0, 0] = -1e-7
    np.save(tmp_path / "noisy.npy", given)
    said = []
    restore_path(restore, SIZE, tmp_path / "noisy.npy", tmp_path / "restored.npy", said.append)
    assert said == [
        f"{tmp_path}/noisy.npy has values from -1e-07 to {dtype(1.0000001)!s}; those outside [0, 1] are clipped to it"
    ]
    found = np.load(tmp_path / "restored.npy")
    np.testing.assert_array_equal(found, (1 - given.astype(np.float32).clip(0, 1)).astype(dtype))
    np.testing.assert_array_equal(np.load(tmp_path / "noisy.npy"), given)


@pytest.mark.parametrize("value", [1.0000021, -0.0000021, 1.001])
def test_values_outside_are_shown_with_all_their_digits(refuse, tmp_path, value):
    np.save(tmp_path / "noisy.npy", with_value(value))
    refuse(f"values from .*{value!s}.*but float images lie in", tmp_path / "noisy.npy", tmp_path / "restored.npy")


# Several inputs


def test_several_inputs_go_into_a_folder(restore, digits, source, tmp_path, tree):
    for name, image in zip(("1.png", "2.png"), digits):
        write_png(source / name, image)
    write_png(tmp_path / "1.png", digits[2])
    np.save(tmp_path / "many.npy", digits[:7])
    given = [tmp_path / "1.png", tmp_path / "many.npy", source]
    assert restore_paths(restore, SIZE, given, tmp_path / "new" / "restored") == 10
    restored = tmp_path / "new" / "restored"
    assert tree(restored) == {"1.png", "many.npy", "source", "source/1.png", "source/2.png"}
    np.testing.assert_array_equal(read_png(restored / "1.png"), 255 - digits[2])
    np.testing.assert_array_equal(read_png(restored / "source" / "2.png"), 255 - digits[1])
    np.testing.assert_array_equal(np.load(restored / "many.npy"), 255 - digits[:7])
    assert not [name for name in tree(tmp_path) if ".writing" in name]


def test_one_file_goes_into_an_empty_folder(restore, digits, tmp_path, tree):
    write_png(tmp_path / "1.png", digits[0])
    (tmp_path / "restored").mkdir()
    assert restore_paths(restore, SIZE, [tmp_path / "1.png"], tmp_path / "restored") == 1
    assert tree(tmp_path) == {"1.png", "restored", "restored/1.png"}


@pytest.fixture
def refuse_several(restore, tmp_path, tree):
    def check(wanted, sources, target):
        before = tree(tmp_path)
        with pytest.raises(BadInput, match=wanted):
            restore_paths(restore, SIZE, sources, target)
        assert tree(tmp_path) == before

    return check


def test_several_inputs_that_do_not_go_together(refuse_several, digits, source, tmp_path):
    write_png(source / "1.png", digits[0])
    write_png(tmp_path / "1.png", digits[0])
    (tmp_path / "text.txt").write_text("text")
    (tmp_path / "other").mkdir()
    both = [source / "1.png", tmp_path / "1.png"]
    restored = tmp_path / "restored"
    refuse_several("source/1.png and .*1.png would both become .*restored/1.png", both, restored)
    refuse_several("2.png does not exist", [source, tmp_path / "2.png"], restored)
    refuse_several("text.txt is neither", [source, tmp_path / "text.txt"], restored)
    refuse_several("other is a folder without .png files", [source, tmp_path / "other"], restored)
    refuse_several("source is there already", [tmp_path / "1.png", source], source)
    refuse_several("1.png is there already", both[:1] + [source], tmp_path / "1.png")


# The work a file


@pytest.mark.parametrize("several", [False, True])
def test_a_folder_is_looked_at_as_often_for_many_files_as_for_few(restore, digits, tmp_path, monkeypatch, several):
    """Taking leftovers out of the folder before each file made it quadratic: 4,000 PNGs took 13 s."""

    def looks(count):
        source = tmp_path / f"{count} files"
        source.mkdir()
        for number in range(count):
            write_png(source / f"{number}.png", digits[0])
            np.save(source / f"{number}.npy", digits[:1])
        given = sorted(source.glob("*.npy")) + [source] if several else [source]
        seen = []
        with monkeypatch.context() as patched:
            for name in ("scandir", "listdir"):
                original = getattr(os, name)
                patched.setattr(os, name, lambda path, original=original: seen.append(path) or original(path))
            restore_paths(restore, SIZE, given, tmp_path / f"{count} restored")
        return len(seen)

    assert looks(3) == looks(30) > 0


def test_output_where_no_folder_can_be(refuse, digits, source, tmp_path):
    np.save(tmp_path / "noisy.npy", digits)
    (source / "1.png").write_bytes(png(DIGIT))
    (tmp_path / "file").write_text("no folder")
    refuse("cannot be written", tmp_path / "noisy.npy", tmp_path / "file" / "restored.npy")
    refuse("cannot be written", source / "1.png", tmp_path / "file" / "restored.png")
    refuse("cannot be written", source, tmp_path / "file" / "restored")
