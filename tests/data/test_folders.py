"""Images of one's own: every pixel comes from where the tile says, and no file is in two splits."""

import csv
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from domain_denoiser.base.errors import BadInput
from domain_denoiser.data import folders, listing
from domain_denoiser.params import Images, Shares

SHARES = Shares(val=0.1, gate=0.1, test=0.2)
SPLITS = ["train", "val", "gate", "test"]


def data(**changed: object) -> Images:
    most = dict.fromkeys(SPLITS, 1000)
    values = {
        "kind": "images",
        "origin": "data/images",
        "tile": [16, 20],
        "shares": SHARES.model_dump(),
        "most": most,
    }
    return Images.model_validate(values | changed)


def saved(path: Path, pixels: np.ndarray) -> None:
    """pixels: [H, W] or [H, W, 3] of bool, uint8 or uint16."""
    path.parent.mkdir(exist_ok=True)
    if pixels.dtype == np.uint16:  # of colour Pillow writes 8 bits
        tifffile.imwrite(path.with_suffix(".tif"), pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
    else:
        Image.fromarray(pixels).save(path)


def filled(folder: Path, dtype: type = np.uint8, channels: tuple[int, ...] = ()) -> Path:
    """Ten pictures of different sizes, one in a folder of its own."""
    draw = np.random.default_rng(1)
    for number in range(10):
        shape = 20 + 9 * number, 100 - 7 * number, *channels
        pixels = draw.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
        saved(folder / ("more/9.PNG" if number == 9 else f"{number}.png"), pixels)
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return filled(tmp_path)


def test_names_are_those_of_images_sorted(folder):
    assert listing.listed(folder).files == [*(f"{number}.png" for number in range(9)), "more/9.PNG"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_each_tile_is_the_part_of_the_image_that_it_says(tmp_path, dtype, channels):
    folder = filled(tmp_path, dtype, channels)
    for made in folders.cut(folder, data(), 2018).values():
        assert made.form == (3 if channels else 1, dtype)
        pixels = np.concatenate(list(folders.pixels(made)))
        assert (pixels.dtype, pixels.shape) == (dtype, (len(made.tiles), *channels, 16, 20))
        for tile, found in zip(made.tiles, pixels):
            path = folder / tile.file
            image = tifffile.imread(path) if path.suffix == ".tif" else np.asarray(Image.open(path))
            part = image[tile.top : tile.top + 16, tile.left : tile.left + 20]
            np.testing.assert_array_equal(found, np.moveaxis(part, -1, 0) if channels else part)
            assert listing.listed(folder).files[made.labels()[made.tiles.index(tile)]] == tile.file


def test_grey_that_is_saved_as_colour_is_grey_if_all_of_it_is(folder):
    as_grey = {name: np.concatenate(list(folders.pixels(cut))) for name, cut in folders.cut(folder, data(), 1).items()}
    for path in (folder / "3.png", folder / "more/9.PNG"):
        Image.open(path).convert("RGB").save(path)
    for name, cut in folders.cut(folder, data(), 1).items():
        assert cut.form == (1, np.uint8)
        np.testing.assert_array_equal(np.concatenate(list(folders.pixels(cut))), as_grey[name])
    colour = np.array(Image.open(folder / "3.png"))
    colour[4, 5, 2] ^= 1
    Image.fromarray(colour).save(folder / "3.png")
    with pytest.raises(BadInput, match=r"0.png is grey, but .*3.png is in colour: images of one kind are wanted: conv"):
        folders.cut(folder, data(), 1)
    for path in folder.glob("*.png"):
        Image.open(path).convert("RGB").save(path)
    assert {cut.form.channels for cut in folders.cut(folder, data(), 1).values()} == {3}


def test_alpha_is_left_out(folder):
    cut = folders.cut(folder, data(), 1)["train"]
    before = np.concatenate(list(folders.pixels(cut)))
    for name in {tile.file for tile in cut.tiles}:
        image = Image.open(folder / name)
        image.putalpha(7)
        image.save(folder / name)
    assert folders.cut(folder, data(), 1)["train"] == cut
    np.testing.assert_array_equal(np.concatenate(list(folders.pixels(cut))), before)


def test_one_bit_counts_as_eight(folder):
    bits = np.asarray(Image.open(folder / "1.png")) > 99
    Image.fromarray(bits).save(folder / "1.png")
    of = {tile.file: cut for cut in folders.cut(folder, data(), 1).values() for tile in cut.tiles}["1.png"]
    assert of.form == (1, np.uint8)
    chosen = [tile.file == "1.png" for tile in of.tiles]
    assert set(np.unique(np.concatenate(list(folders.pixels(of)))[chosen])) == {0, 255}


SIDES = st.tuples(st.integers(16, 200), st.integers(16, 200))


@given(SIDES, SIDES, st.sampled_from(SPLITS))
def test_tiles_lie_in_the_middle_of_the_image(image, tile, split):
    """Side by side, or to train on half over each other; no room for one more is left."""
    found = folders.grid(image, tile, split)
    for length, side, starts in zip(image, tile, found):
        step = side // 2 if split == "train" else side
        assert starts == list(range(starts[0], starts[0] + step * len(starts), step)) if starts else length < side
        if starts:
            before, after = starts[0], length - (starts[-1] + side)
            assert 0 <= before <= after <= before + 1
            assert before + after < step


def test_of_more_tiles_than_wanted_some_are_drawn(folder):
    whole, some = (
        folders.cut(folder, data(most=dict.fromkeys(SPLITS, most)), 2018)["train"].tiles for most in (1000, 7)
    )
    assert len(some) == 7
    assert set(some) < set(whole)
    assert list(some) == [tile for tile in whole if tile in some]


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("most", [1000, 13, 2])
def test_images_to_measure_on_can_be_put_together_again(tmp_path, channels, most):
    """Of too many tiles, those in the middle of each image are left; of too many images, some."""
    folder = filled(tmp_path, np.uint8, channels)
    made = folders.cut(folder, data(most=dict.fromkeys(SPLITS, most)), 2018)
    for split in folders.WHOLE:
        cut, pixels = made[split], np.concatenate(list(folders.pixels(made[split])))
        assert 0 < len(pixels) <= most
        start = 0
        for rows, columns in cut.grids().tolist():
            number = rows * columns
            first, tiles = cut.tiles[start], pixels[start : start + number].reshape(rows, columns, *channels, 16, 20)
            whole = np.concatenate([np.concatenate(list(row), axis=-1) for row in tiles], axis=-2)
            path = folder / first.file
            image = tifffile.imread(path) if path.suffix == ".tif" else np.asarray(Image.open(path))
            part = image[first.top : first.top + 16 * rows, first.left : first.left + 20 * columns]
            np.testing.assert_array_equal(whole, np.moveaxis(part, -1, 0) if channels else part)
            start += number
        assert start == len(cut.tiles)


SIDES_OF_GRIDS = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=20)


@given(SIDES_OF_GRIDS, st.integers(20, 5000))
def test_the_largest_grids_lose_rows_and_columns(sides, most):
    left = folders.kept(sides, most)
    total = sum(rows * columns for rows, columns in left)
    assert total <= most
    for (rows, columns), (rows_left, columns_left) in zip(sides, left):
        assert 1 <= rows_left <= rows
        assert 1 <= columns_left <= columns
    smaller = [place for place, side in enumerate(sides) if left[place] != side]
    if smaller:  # no more is lost than one row or column of the largest, and the others are not larger
        assert most - total < max(max(sides[place]) for place in smaller)
        assert max(rows * columns for rows, columns in left) <= min(
            left[place][0] * left[place][1] + max(sides[place]) for place in smaller
        )
    else:
        assert left == sides


def test_equal_seeds_give_equal_splits_and_others_do_not(folder):
    first, again, other = (
        {name: made.tiles for name, made in folders.cut(folder, data(), seed).items()} for seed in (1, 1, 2)
    )
    assert first == again != other


@given(
    st.dictionaries(st.integers(0, 500).map("{}.png".format), st.integers(0, 30).map(str), min_size=4),
    st.integers(0, 2**63 - 1),
)
def test_groups_stay_together_and_every_file_is_in_one_split(of, seed):
    number = len(set(of.values()))
    if number < 1 + sum(max(1, round(share * number)) for share in SHARES.model_dump().values()):
        with pytest.raises(BadInput, match="files or groups of them, but at least"):
            folders.assigned(of, SHARES, seed)
        return
    found = folders.assigned(of, SHARES, seed)
    assert list(found) == SPLITS
    assert sorted(name for files in found.values() for name in files) == sorted(of)
    held = [{of[name] for name in files} for files in found.values()]
    assert all(held)
    assert sum(map(len, held)) == len(set(of.values()))


@given(st.sets(st.integers(0, 10_000).map(str), min_size=12, max_size=60), st.integers(0, 2**63 - 1))
def test_a_file_more_or_less_brings_no_image_that_was_trained_on_into_the_gate(files, seed):
    fewer = sorted(files)[1:]
    all_of, some = (folders.assigned({name: name for name in given}, SHARES, seed) for given in (files, fewer))
    assert not set(all_of["gate"]) & set(some["train"])
    assert not set(some["gate"]) & set(all_of["train"])


def test_tiles_of_a_group_have_one_label(folder):
    """So that an interval resamples groups, as their images are not independent."""
    files = listing.listed(folder).files
    pairs = {name: place // 2 for place, name in enumerate(files)}
    rows = [f"{name},{pair}\n" for name, pair in pairs.items()]
    (folder / listing.GROUPS).write_text("".join(["file,group\n", *rows]))
    made = folders.cut(folder, data(), 2018).values()
    labels = {tile.file: label for cut in made for tile, label in zip(cut.tiles, cut.labels().tolist())}
    assert labels == pairs


def test_files_without_a_group_are_their_own(folder):
    (folder / "groups.csv").write_text("file,group\n0.png,same\n1.png, same\n")
    found = folders.groups(folder, listing.listed(folder).files)
    assert (found["0.png"], found["1.png"], found["2.png"]) == ("same", "same", "2.png")


def test_memory_is_that_of_the_tiles_that_are_drawn(tmp_path):
    for number in range(4):
        Image.fromarray(np.zeros((2400, 2400), np.uint8)).save(tmp_path / f"{number}.png")
    few = data(tile=[16, 16], most=dict.fromkeys(SPLITS, 10))
    folders.cut(tmp_path, few, 1)  # what is imported and kept once
    tracemalloc.start()
    try:
        folders.cut(tmp_path, few, 1)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2_000_000  # bytes; all tiles to train on, 90,000, would take 14 million


def test_pages_of_a_book_stay_together(folder):
    files = listing.listed(folder).files
    with (folder / "groups.csv").open("w", newline="") as opened:
        csv.writer(opened).writerows([("file", "group"), *((name, f"book {i // 2}") for i, name in enumerate(files))])
    of = folders.groups(folder, files)
    for chosen in folders.assigned(of, SHARES, 3).values():
        assert len(chosen) % 2 == 0


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("name,book\n0.png,1\n", r"columns \['name', 'book'\], but file and group are wanted"),
        ("", r"columns \(none\), but file and group are wanted"),
        ("file,group\nelsewhere.png,1\n", "names 'elsewhere.png', but there is no such image"),
        ("file,group\n0.png,1\n0.png,2\n", "gives 0.png another group in one of its rows"),
        ("file,group\n0.png, \n", "gives 0.png no group in one of its rows"),
        ("file,group\n0.png,1.png\n", "calls a group 1.png, which is a file of no group"),
        ("file,group\n" + 200_000 * "a", "is no table: field larger than field limit"),
    ],
)
def test_groups_that_are_amiss_are_refused(folder, content, sentence):
    (folder / "groups.csv").write_text(content)
    with pytest.raises(BadInput, match=sentence):
        folders.groups(folder, listing.listed(folder).files)


def test_one_bit_is_black_or_white(tmp_path):
    pixels = np.arange(400).reshape(20, 20) % 3 == 0
    Image.fromarray(pixels).save(tmp_path / "one.png")
    [image] = folders.planes(tmp_path / "one.png")
    np.testing.assert_array_equal(image, 255 * pixels[None].astype(np.uint8))


def test_every_image_of_a_file_is_cut(tmp_path):
    stacks = np.random.default_rng(1).integers(0, 256, (5, 3, 32, 40), dtype=np.uint8)
    for number, stack in enumerate(stacks):
        np.save(tmp_path / f"{number}.npy", stack)
    found = folders.cut(tmp_path, data(), 1)
    assert {made.form for made in found.values()} == {(1, np.dtype(np.uint8))}
    assert {name: len(made.tiles) for name, made in found.items()} == {
        "train": 2 * 27,
        "val": 12,
        "gate": 12,
        "test": 12,
    }
    for made in found.values():
        for tile, pixels in zip(made.tiles, np.concatenate(list(folders.pixels(made)))):
            whole = stacks[int(tile.file[0]), tile.image]
            np.testing.assert_array_equal(pixels, whole[tile.top : tile.top + 16, tile.left : tile.left + 20])


def test_other_images_are_refused_with_the_way_on(folder):
    np.save(folder / "float.npy", np.zeros((30, 30), np.float32))
    with pytest.raises(BadInput, match="float.npy holds float32 values, but images of 8 or 16 bits are wanted to tr"):
        folders.cut(folder, data(), 1)
    (folder / "float.npy").unlink()
    Image.fromarray(np.zeros((30, 30), np.uint16)).save(folder / "deep.png")
    with pytest.raises(BadInput, match=r"deep.png has 16 bits, but .*0.png has 8: images of one kind are wanted"):
        folders.cut(folder, data(), 1)
    (folder / "deep.png").unlink()
    Image.fromarray(np.zeros((30, 19), np.uint8)).save(folder / "narrow.png")
    with pytest.raises(BadInput, match="narrow.png has 19 x 30 pixels, but tiles of 20 x 16 are cut: leave it out, or"):
        folders.cut(folder, data(), 1)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(BadInput, match="is no folder, but one with images is wanted"):
        listing.listed(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(BadInput, match="holds no images: files that end in .png, "):
        listing.listed(tmp_path)
