"""Pairs of images: the tiles of a clean image and of its noisy one show the same place."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from domain_denoiser.base.errors import BadInput
from domain_denoiser.data import folders, listing, pairs
from domain_denoiser.params import Pairs

SPLITS = ["train", "val", "gate", "test"]


def data(most: int = 1000) -> Pairs:
    shares = {"val": 0.1, "gate": 0.1, "test": 0.2}
    counts = dict.fromkeys(SPLITS, most)
    values = {
        "kind": "pairs",
        "origin": "data/images",
        "tile": [16, 20],
        "shares": shares,
        "most": counts,
    }
    return Pairs.model_validate(values)


def of_places(height: int, width: int, number: int, dtype: type, channels: int) -> np.ndarray:
    """An image [H, W] or [H, W, 3] whose pixels say in which file and where they are."""
    places = (np.arange(height * width).reshape(height, width) * 7 + 11 * number) % 200
    pixels = places.astype(dtype)
    return pixels if channels == 1 else np.stack([pixels, pixels + 1, pixels], -1).astype(dtype)


def written(origin: Path, dtype: type = np.uint8, channels: int = 1) -> Path:
    """Seven pairs of several sizes; a noisy image is the clean one plus 50, in a file of another kind."""
    for name in (pairs.CLEAN, pairs.NOISY):
        (origin / name / "deeper").mkdir(parents=True)
    for number in range(7):
        clean = of_places(20 + 9 * number, 100 - 7 * number, number, dtype, channels)
        stem = f"deeper/{number}" if number == 3 else str(number)
        if dtype == np.uint8:
            Image.fromarray(clean).save(origin / pairs.CLEAN / f"{stem}.png")
        else:
            tifffile.imwrite(
                origin / pairs.CLEAN / f"{stem}.tif", clean, photometric="rgb" if channels == 3 else "minisblack"
            )
        np.save(origin / pairs.NOISY / f"{stem}.npy", clean + dtype(50))
    return origin


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("most", [1000, 5])
def test_both_tiles_of_a_pair_show_the_same_place(tmp_path, dtype, channels, most):
    origin = written(tmp_path, dtype, channels)
    found = pairs.cut(origin, data(most), 2018)
    assert list(found) == SPLITS
    for clean, noisy in found.values():
        here, there = (np.concatenate(list(folders.pixels(made))) for made in (clean, noisy))
        assert (here.shape, here.dtype) == ((len(clean.tiles), *[3] * (channels == 3), 16, 20), dtype)
        np.testing.assert_array_equal(there, here + dtype(50))
        np.testing.assert_array_equal(clean.labels(), noisy.labels())


def test_clean_tiles_are_those_of_the_clean_folder_alone(tmp_path):
    origin = written(tmp_path)
    alone = folders.cut(origin / pairs.CLEAN, data(5), 2018)
    assert {name: made.clean for name, made in pairs.cut(origin, data(5), 2018).items()} == alone


def test_groups_are_those_of_the_clean_folder(tmp_path):
    origin = written(tmp_path)
    rows = "".join(f"{name},{at // 2}\n" for at, name in enumerate(listing.listed(origin / pairs.CLEAN).files))
    (origin / pairs.CLEAN / "groups.csv").write_text("file,group\n" + rows)
    splits = pairs.cut(origin, data(), 1).values()
    assert sorted(len({tile.file for tile in made.noisy.tiles}) for made in splits) == [1, 2, 2, 2]


def test_noise_of_colour_makes_grey_images_colour(tmp_path):
    """Saved as colour, but grey: alone they are one channel, beside noisy ones in colour three."""
    origin = written(tmp_path, channels=3)
    for path in (origin / pairs.CLEAN).rglob("*.png"):
        Image.open(path).convert("L").convert("RGB").save(path)
    assert {made.form.channels for made in folders.cut(origin / pairs.CLEAN, data(), 1).values()} == {1}
    assert {made.form.channels for both in pairs.cut(origin, data(), 1).values() for made in both} == {3}


def test_pairs_that_do_not_fit_are_refused(tmp_path):
    origin = written(tmp_path)
    clean, noisy = origin / pairs.CLEAN, origin / pairs.NOISY

    def refused(sentence: str) -> None:
        with pytest.raises(BadInput, match=sentence) as error:
            pairs.cut(origin, data(), 1)
        assert "\n" not in str(error.value)

    (noisy / "2.npy").rename(noisy / "other.npy")
    refused(r"clean/2.png has no partner in .*noisy: the two images of a pair have the same path")
    (clean / "2.png").unlink()
    refused(r"noisy/other.npy has no partner in .*clean: the two")
    (noisy / "more.npy").write_bytes((noisy / "other.npy").read_bytes())
    refused(r"noisy/more.npy and 1 more have no partner in .*clean: the two")
    (noisy / "other.npy").unlink()
    (noisy / "more.npy").unlink()
    (noisy / "1.png").write_bytes((clean / "1.png").read_bytes())
    refused(r"noisy holds 1.npy and 1.png, but the images of a pair are found by their names without suffix: rename")
    (noisy / "1.png").unlink()
    pixels = np.load(noisy / "1.npy")
    np.save(noisy / "1.npy", pixels[:-1])
    refused(r"noisy/1.npy has 93 x 28 pixels, but .*clean/1.png has 93 x 29 pixels: the two images of a pair show the")
    np.save(noisy / "1.npy", np.stack([pixels, pixels]))
    refused(r"noisy/1.npy has 2 images of 93 x 29 pixels, but .*clean/1.png has 93 x 29 pixels")
    np.save(noisy / "1.npy", pixels.astype(np.uint16))
    refused(r"noisy/1.npy has 16 bits, but .*clean/0.png has 8")
    np.save(noisy / "1.npy", np.stack([pixels, pixels, 255 - pixels], -1))
    refused(r"clean/0.png is grey, but .*noisy/1.npy is in colour")
    np.save(noisy / "1.npy", pixels)
    assert pairs.cut(origin, data(), 1)


@given(st.integers(1, 600), st.integers(1, 30), st.sampled_from([1, 3]), st.sampled_from([np.uint8, np.uint16]))
def test_the_difference_is_the_root_mean_square(height, width, channels, dtype):
    drawn, most = np.random.default_rng(height), np.iinfo(dtype).max
    clean, noisy = drawn.integers(0, most, (2, channels, height, width), dtype=dtype, endpoint=True)
    wanted = np.square((noisy.astype(float) - clean) / most).sum()
    assert pairs._squares(clean, noisy) == pytest.approx(wanted)


def test_the_difference_is_that_of_all_files(tmp_path):
    origin, told = written(tmp_path), []
    both = (listing.listed(origin / name) for name in (pairs.CLEAN, pairs.NOISY))
    assert pairs.difference(*both, lambda *done: told.append(done)) == pytest.approx(50 / 255)
    assert told == [(1, 0)] * 7


def test_grey_that_one_folder_saves_as_colour_makes_no_difference(tmp_path):
    origin = written(tmp_path)
    both = [listing.listed(origin / name) for name in (pairs.CLEAN, pairs.NOISY)]
    apart = pairs.difference(*both, lambda *done: None)
    for path in list((origin / pairs.CLEAN).rglob("*.png"))[:4]:
        Image.open(path).convert("RGB").save(path)
    assert pairs.difference(*both, lambda *done: None) == pytest.approx(apart)
    for made in pairs.cut(origin, data(), 1).values():
        assert [each.form.channels for each in made] == [1, 1]
