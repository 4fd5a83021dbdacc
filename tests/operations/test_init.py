"""`denoise init`: what a folder must be, what is made of it, and that nothing is lost on the way."""

import io
import math
import subprocess
import tempfile
from pathlib import Path

import hostile_files
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from PIL import Image
from pipeline import Pipeline, clone

from domain_denoiser import layout, params
from domain_denoiser.base.errors import BadInput
from domain_denoiser.base.processes import Failed
from domain_denoiser.data import folders, listing, pairs
from domain_denoiser.operations.init import applying, command, duplicates, presets, speed, survey

ROOT = Path(__file__).parents[2]
RATE = 1000.0  # tiles per second, in tests that do not measure
FOLDER = "My Größe"


def picture(seed: int, height: int = 64, width: int = 80, channels: int = 1) -> np.ndarray:
    """An image that looks like no other one, uint8 [H, W] or [H, W, 3]: blocks of 8 x 8 and some noise."""
    drawn = np.random.default_rng(seed)
    blocks = drawn.integers(20, 236, (-(-height // 8), -(-width // 8), channels))
    full = np.kron(blocks, np.ones((8, 8, 1), int))[:height, :width] + drawn.integers(-9, 10, (height, width, channels))
    return (full[..., 0] if channels == 1 else full).astype(np.uint8)


def encoded(array: np.ndarray, form: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(array).save(content, format=form)
    return content.getvalue()


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def several(number: int, **how: int) -> dict[str, bytes]:
    return {f"{seed}.png": encoded(picture(seed, **how)) for seed in range(number)}


def options(**changed: object) -> command.Options:
    given = {"name": None, "preset": None, "minutes": 5.0, "dry_run": False, "noisy": None}
    return command.Options(**(given | changed))


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Plan for files of a new folder, without measuring the machine."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(speed, "tiles_per_second", lambda *of: RATE)

    def run(files: dict[str, bytes], **changed: object) -> command.Plan:
        return command.plan(written(tmp_path / FOLDER, files), options(**changed))

    return run


# Presets


@pytest.mark.parametrize("name", presets.NAMES)
def test_presets_are_valid_and_a_first_champion_must_beat_three_filters(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    _, preset = presets.read(name)
    assert preset.data.kind == "images"
    assert preset.data.origin == str(layout.IMAGES)
    assert preset.gate.profile
    assert list(preset.filters) == list(params.FILTERS)
    # At none of the levels the gate could not compare a model of this noise with the filters, whatever it reaches.
    assert preset.noisy["fixed"].root.sigma in preset.levels


@pytest.mark.parametrize("name", presets.NAMES)
def test_filling_a_preset_keeps_its_comments_and_all_other_lines(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    content, preset = presets.read(name)
    domain = preset.domain.model_copy(update={"name": "mine", "images": "images of Größe: a # b"})
    other = 4 - preset.models["conv"].network["image_channels"]  # 3 for 1, and 1 for 3
    made = presets.filled(content, presets.Filling(domain, (40, 50), other, [], 77, 123, None))
    changed = {
        before: after for before, after in zip(content.split("\n"), made.split("\n"), strict=True) if before != after
    }
    assert {line.split(":")[0].strip() for line in changed} == {
        "name",
        "images",
        "tile",
        "train",
        "epochs",
        "image_channels",
    }
    for before, after in changed.items():
        assert before.partition("#")[2] in after
    read = presets.checked(made, "it")
    assert (read.domain, read.data.tile, read.data.most.train) == (domain, [40, 50], 123)
    assert (read.models["conv"].epochs, read.models["conv"].network["image_channels"]) == (77, other)


@pytest.mark.parametrize(
    ("sizes", "form", "preset", "tile", "models"),
    [
        ([(28, 28)] * 4, "grey", "small", [28, 28], {"conv", "plain", "fixed", "random"}),
        ([(28, 28)] * 4, "grey as colour", "small", [28, 28], {"conv", "plain", "fixed", "random"}),
        ([(28, 28)] * 4, "colour", "small", [28, 28], {"conv"}),
        ([(20, 33)] * 4, "grey", "small", [20, 33], {"conv"}),
        ([(64, 64)] * 4, "deep", "small", [64, 64], {"conv"}),
        ([(64, 65)] * 4, "grey", "photos", [64, 64], {"conv"}),
        ([(64, 64)] * 3 + [(80, 64)], "colour", "photos", [64, 64], {"conv"}),
        ([(130, 200)] * 4, "grey as colour", "photos", [64, 64], {"conv"}),
        ([(130, 100)] * 4, "deep", "microscopy", [128, 100], {"conv"}),
        ([(130, 100)] * 4, "deep colour", "photos", [64, 64], {"conv"}),
    ],
)
def test_the_preset_and_the_networks_are_chosen_by_the_images(plan, sizes, form, preset, tile, models):
    files = dict(in_form(at, size, form) for at, size in enumerate(sizes))
    made = plan(files)
    assert made.params.data.tile == tile
    assert set(made.params.models) == models
    assert made.params.models["conv"].network["image_channels"] == (3 if form in ("colour", "deep colour") else 1)
    assert [line for line in made.lines if ", grey, saved as colour, 8 bits" in line] == made.lines[:1] * (
        form == "grey as colour"
    )
    assert any(
        line.startswith(f"preset {preset}, by the images: tiles of {tile[1]} x {tile[0]}") for line in made.lines
    )
    beside = "beside it, by the preset: plain, 30 epochs; fixed, 30 epochs; random, 30 epochs"
    assert (beside in made.lines) == (len(models) == 4)
    assert any(line.startswith("left out: plain, fixed, random") for line in made.lines) == (
        preset == "small" and len(models) == 1
    )


FORMS = ("grey", "colour", "grey as colour", "deep", "deep colour")


def in_form(seed: int, size: tuple[int, int], form: str, kind: str = "PNG") -> tuple[str, bytes]:
    """The name and the content of a file of that form. kind: of files of 8 bits."""
    channels = 3 if form in ("colour", "deep colour") else 1
    pixels = picture(seed, *size, channels)
    match form:
        case "deep" | "deep colour":
            return f"{seed}.npy", hostile_files.npy(pixels.astype(np.uint16) * 257)
        case "grey as colour":
            return f"{seed}.png", encoded(np.repeat(pixels[..., None], 3, -1), kind)
    return f"{seed}.png", encoded(pixels, kind)


def test_small_takes_images_of_several_sizes_if_it_is_named(plan):
    files = {f"{at}.png": encoded(picture(at, 20 + at, 90 - at)) for at in range(5)}
    assert plan(files, preset="small").params.data.tile == [20, 64]


# What is said and planned


def test_what_is_said(plan):
    files = {f"in here/Bild é {seed}.PNG": encoded(picture(seed, 70, 150, 3)) for seed in range(5)}
    files |= {"5.jpg": encoded(picture(5, 128, 200, 3), "JPEG"), "notes.txt": b"", ".hidden.png": b""}
    made = plan(files, preset="documents", name="mine")
    assert made.lines == [
        "6 images in 6 files: 5 PNG and 1 JPEG, 150 to 200 x 70 to 128, colour, 8 bits",
        "2 other files skipped",
        *[line for line in made.lines if line.startswith(("train: ", "val: ", "gate: ", "test: "))],
        "preset documents: tiles of 128 x 70, levels of noise 0.0, 0.05, 0.1, 0.25 of the range",
        *[line for line in made.lines if line.startswith("training conv: 1,000 tiles a second here, so ")],
        "domain: mine, colour, 150 to 200 x 70 to 128 pixels",
    ]
    assert len(made.lines) == 9
    assert made.params.domain.images == f"images of {FOLDER}"


def cut_by_the_stage(made: command.Plan) -> dict[str, tuple[int, int]]:
    """Split -> the numbers of files and tiles that the stage download makes."""
    cuts = folders.cut(made.folder.path, made.params.data, made.params.seed)
    return {split: (len({tile.file for tile in cut.tiles}), len(cut.labels())) for split, cut in cuts.items()}


def told(made: command.Plan) -> dict[str, tuple[int, int]]:
    found = {}
    for line in made.lines:
        split, _, rest = line.partition(": ")
        if split in ("train", "val", "gate", "test"):
            files, tiles = rest.split(", ")
            found[split] = int(files.split()[0]), int(tiles.split()[0])
    return found


def test_the_split_is_what_the_stage_makes(plan):
    files = {f"{at}/{at}.png": encoded(picture(at, 64 + 40 * at, 200, 3)) for at in range(9)}
    files["stack.npy"] = hostile_files.npy(
        np.stack([picture(50 + at, 70, 70) for at in range(3)])[..., None].repeat(3, 3)
    )
    made = plan(files)
    assert told(made) == cut_by_the_stage(made)
    assert sum(files for files, _ in told(made).values()) == 10


@pytest.mark.parametrize(
    ("tiles", "minutes", "epochs", "used"),
    [(1000, 1.0, 60, 1000), (60_000, 1.0, 1, 60_000), (60_001, 1.0, 3, 20_000), (1, 60.0, 100_000, 1), (9, 1e-9, 3, 1)],
)
def test_epochs_fit_into_the_minutes(tiles, minutes, epochs, used):
    assert speed.schedule(tiles, RATE, minutes, 100_000) == (epochs, used)


def test_fewer_tiles_are_trained_on_if_no_epoch_fits(plan):
    made = plan(several(5, height=640, width=640), minutes=0.001)
    assert made.params.models["conv"].epochs == 3
    assert made.params.data.most.train == 20
    assert told(made)["train"] == (2, 20)
    assert any("a greater --minutes takes more" in line for line in made.lines)
    assert any("expect it to be worse than classical filters" in line for line in made.lines)
    assert not any("expect it" in line for line in plan(several(5), minutes=1.0).lines)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_speed_is_that_of_the_model(channels, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(speed, "MEASURED_S", 0.01)
    _, preset = presets.read("small")
    crop = {"crop": 8, "augment": True, "image_channels": channels}
    model = preset.models["conv"].model_copy(update=crop)
    sized = preset.data.model_copy(update={"tile": [16, 20]})
    rate = speed.tiles_per_second(preset.model_copy(update={"models": {"conv": model}, "data": sized}), "conv")
    assert 0 < rate < math.inf


@pytest.mark.parametrize(
    ("folder", "name"), [("My Photos (2)", "my-photos-2"), ("UPPER", "upper"), ("größe", "gr-e"), ("_x_", "x")]
)
def test_the_name_is_that_of_the_folder(folder, name, tmp_path):
    assert command._name(tmp_path / folder, None) == name


@pytest.mark.parametrize("folder", ["2024", "写真", "x" * 41, "---"])
def test_a_folder_without_such_a_name_wants_one(folder, tmp_path):
    with pytest.raises(BadInput, match=r"cannot be the name of a domain .*: --name names a domain out of"):
        command._name(tmp_path / folder, None)


@pytest.mark.parametrize("name", ["", "Mine", "a b", "../a", "1a", "a" * 41])
def test_a_name_that_is_none_is_refused(name, tmp_path):
    with pytest.raises(BadInput, match="cannot be the name of a domain"):
        command._name(tmp_path, name)


# Refusals

GREY, DEEP = encoded(picture(99)), encoded(picture(98).astype(np.uint16) * 257)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"notes.txt": b""}, "holds no images: files that end in .png"),
        (several(3), "there are 3 files or groups of them, but at least 4 are wanted"),
        (several(4) | {"bad.png": GREY[:-40]}, "1 file cannot be read: .*bad.png.*: repair or remove them"),
        (
            several(4) | {f"bad{at}.png": b"" for at in range(5)},
            "5 files cannot be read: .*bad0.png is empty.*; .*bad2.png.*; and 2 more: repair or remove them",
        ),
        (
            several(4) | {"deep.png": DEEP},
            r"holds 4 8-bit and 1 16-bit images \(16-bit: deep.png\), but a domain has one kind: convert them, or sort",
        ),
        (
            several(4) | {"f.npy": hostile_files.npy(np.zeros((64, 64), np.float32))},
            r"f.npy \(float32\): images of 8 or 16 bits are wanted",
        ),
        (several(4) | {"tiny.png": encoded(picture(9, 15, 70))}, "tiny.png has 70 x 15 pixels, but at least 16 a side"),
        (
            several(4) | {"colour.png": encoded(picture(9, channels=3))},
            r"holds 4 grey and 1 colour images \(colour: colour.png\), but a domain has one kind: convert them, or",
        ),
        (
            several(4) | {"groups.csv": b"file,group\n0.png,a\n1.png,b\n2.png,c\n3.png,c\n"},
            "there are 3 files or groups of them, but at least 4 are wanted .*, or make more groups in groups.csv",
        ),
        (several(4) | {"groups.csv": b"file,group\n9.png,a\n"}, "groups.csv names '9.png', but there is no such image"),
        (several(4) | {"groups.csv": b"name\n"}, "groups.csv has the columns"),
        (several(4) | {"groups.csv": b"file,group\n" + 200_000 * b"a"}, "groups.csv is no table"),
        (
            several(3) | {"again.png": encoded(picture(1))},
            "1.png and .*again.png hold the same image, but would be in [a-z]+ and [a-z]+: remove one, or put both",
        ),
    ],
    ids=lambda value: value.split(":")[0][:40] if isinstance(value, str) else "",
)
def test_refusals(plan, files, said):
    with pytest.raises(BadInput, match=said) as refused:
        plan(files)
    assert "\n" not in str(refused.value)


def test_images_smaller_than_what_training_sees_at_once_are_refused(plan):
    """Of a preset that draws parts; the tiles of the others shrink to the smallest image."""
    files = several(4) | {"less.png": encoded(picture(9, 63, 70))}
    said = (
        r"less.png has 70 x 63 pixels, but the preset documents cuts tiles of at least 64 x 64: leave small "
        "images out, or take `--preset small`"
    )
    with pytest.raises(BadInput, match=said):
        plan(files, preset="documents")
    assert plan(files, preset="photos").params.data.tile == [63, 64]


@pytest.mark.parametrize(
    "changed", [{"preset": "nonsense"}, {"minutes": 0.0}, {"minutes": math.nan}, {"minutes": math.inf}]
)
def test_options_that_are_none(plan, changed):
    with pytest.raises(BadInput, match="is wanted"):
        plan(several(4), **changed)


def test_a_name_that_is_no_text_is_refused(plan):
    with pytest.raises(BadInput, match="is no UTF-8 text: rename it"):
        plan(several(4) | {"\udcff.png": GREY})


def test_links_are_neither_followed_nor_copied(plan, tmp_path):
    outside = written(tmp_path / "outside", {"secret.png": GREY})
    folder = written(tmp_path / FOLDER, several(4))
    (folder / "link.png").symlink_to(outside / "secret.png")
    (folder / "away").symlink_to(outside)
    made = plan({})
    assert made.folder.files == ["0.png", "1.png", "2.png", "3.png"]
    assert "2 links skipped: only files are copied" in made.lines


def test_alpha_that_is_left_out_is_told_of(plan):
    clear = Image.fromarray(picture(4))
    clear.putalpha(9)
    content = io.BytesIO()
    clear.save(content, format="PNG")
    assert "the alpha of 1 file is left out" in plan(several(4) | {"clear.png": content.getvalue()}).lines


def test_images_that_use_little_of_16_bits_are_told_of(plan):
    dark = {f"{at}.npy": hostile_files.npy(picture(at).astype(np.uint16) * 16) for at in range(4)}
    most = 16 * max(int(picture(at).max()) for at in range(4))
    assert any(line.startswith(f"values reach {most:,} of 65,535 only, and noise") for line in plan(dark).lines)


# Duplicates


def test_all_duplicates_are_counted_at_once(plan):
    """Four groups are one a split each, and of each there are two images in another one."""
    rows = "".join(f"{at}.png,{'abcd'[at]}\nx{at}.png,{'bcda'[at]}\n" for at in range(4))
    files = several(4) | {f"x{at}.png": encoded(picture(at)) for at in range(4)}
    with pytest.raises(
        BadInput, match=r"0.png and .*x0.png hold .* \(and 3 pairs more like these\): remove one, or put"
    ):
        plan(files | {"groups.csv": ("file,group\n" + rows).encode()})


def test_an_image_is_a_duplicate_however_its_grey_is_saved(plan):
    with pytest.raises(BadInput, match="1.png and .*again.png hold the same image"):
        plan(several(3) | {"again.png": encoded(np.repeat(picture(1)[..., None], 3, -1))})


def test_images_that_look_alike_are_refused_unless_they_are_of_one_group(plan):
    files, noise = several(5), np.random.default_rng(0).integers(-3, 4, (64, 80))
    files["4.png"] = encoded((picture(0) + noise).astype(np.uint8))
    grouped = files | {"groups.csv": b"file,group\n0.png,a\n4.png,a\n1.png,b\n2.png,c\n3.png,d\n"}
    made = plan(grouped)
    assert cut_by_the_stage(made) == told(made)
    with pytest.raises(BadInput, match=r"0.png and .*4.png look like the same image"):
        # Four groups are one a split; without the fifth file these two are in two of them.
        plan({"groups.csv": b"file,group\n0.png,a\n4.png,b\n1.png,c\n2.png,d\n3.png,d\n"})


def test_small_and_flat_images_have_no_look_and_equal_pixels_are_found_all_the_same(plan):
    ramp = np.tile(np.arange(128, dtype=np.uint8), (80, 1))
    assert duplicates.look(ramp[None]) is None
    assert duplicates.look(np.full((1, 90, 90), 7, np.uint8)) is None
    assert duplicates.look(picture(0, 63, 90)[None]) is None
    plan({f"{at}.png": encoded((picture(0, 40, 40) + at).astype(np.uint8)) for at in range(4)})
    with pytest.raises(BadInput, match="hold the same image"):
        plan({f"{at}.png": encoded(picture(0, 40, 40)) for at in range(4)})


@given(st.integers(0, 2**32), st.integers(64, 200), st.integers(64, 200), st.sampled_from([1, 3]))
def test_the_look_is_that_of_any_scale_and_brightness(seed, height, width, channels):
    blocks = np.random.default_rng(seed).integers(0, 100, (channels, 8, 9))
    planes = np.kron(blocks, np.ones((1, 8, 8), int))
    rows, columns = np.arange(height) * 64 // height, np.arange(width) * 72 // width
    look = duplicates.look(planes.astype(np.uint8))
    scaled = duplicates.look((planes * 2 + 50).astype(np.uint8))
    assert look == scaled
    resized = duplicates.look(planes[:, rows][:, :, columns].astype(np.uint8))
    if look is not None and resized is not None:
        assert (look ^ resized).bit_count() <= 24


def test_the_look_agrees_with_the_plain_mean_of_blocks():
    planes = picture(5, 71, 95, 3).transpose(2, 0, 1)
    rows, columns = [at * 71 // 8 for at in range(9)], [at * 95 // 9 for at in range(10)]
    means = [
        [planes[:, a:b, c:d].mean() for c, d in zip(columns, columns[1:], strict=False)]
        for a, b in zip(rows, rows[1:], strict=False)
    ]
    bits = "".join(str(int(right > left)) for row in means for left, right in zip(row, row[1:], strict=False))
    assert duplicates.look(planes) == int(bits, 2)


# Pairs


def noisy(pixels: np.ndarray, seed: int) -> np.ndarray:
    """With noise of its own, which is not Gaussian: some pixels are a tenth of the range darker."""
    darker = np.random.default_rng(seed).random(pixels.shape) < 0.5
    return (pixels - darker * (pixels // 10)).astype(pixels.dtype)


def several_noisy(number: int, **how: int) -> dict[str, bytes]:
    return {f"{seed}.tif": encoded(noisy(picture(seed, **how), seed), "TIFF") for seed in range(number)}


@pytest.fixture
def plan_pairs(plan, tmp_path: Path):
    """As `plan`, of clean files and of noisy ones."""

    def run(clean: dict[str, bytes], beside: dict[str, bytes], **changed: object) -> command.Plan:
        return plan(clean, noisy=written(tmp_path / "noisy", beside), **changed)

    return run


@pytest.mark.parametrize("preset", presets.NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_of_pairs_is_given(plan_pairs, preset, channels):
    clean = [picture(seed, 70, 90, channels) for seed in range(5)]
    made = plan_pairs(
        several(5, height=70, width=90, channels=channels),
        several_noisy(5, height=70, width=90, channels=channels),
        preset=preset,
    )
    apart = [(noisy(pixels, seed).astype(float) - pixels) / 255 for seed, pixels in enumerate(clean)]
    sigma = round(float(np.sqrt(np.mean(np.square(apart)))), 4)
    read = made.params
    assert isinstance(read.data, params.Pairs)
    law = params.Given(law="given", sigma=sigma)
    assert {name: law.root for name, law in read.noisy.items()} == {"paired": law, "test": law}
    assert {name: (model.regime, model.noise) for name, model in read.models.items()} == {"conv": ("paired", "frozen")}
    assert read.models["conv"].network["image_channels"] == channels
    assert (read.gate.sigma, list(read.gate.allowed_loss_db)) == (sigma, [str(sigma)])
    assert read.gate.floors_db == {str(sigma): pytest.approx(1 - 20 * math.log10(sigma), abs=0.06)}
    assert f"a noisy one of each: TIFF, {sigma} of the range apart (root mean square)" in made.lines
    assert any(line.endswith(f", levels of noise {sigma} of the range") for line in made.lines)
    left_out = "left out: plain, fixed, random, which the preset trains with drawn noise"
    assert (left_out in made.lines) == (preset == presets.SMALL)
    assert all(
        line in made.content for line in ("  paired: {law: given, sigma: ", "  kind: pairs  ", "noise: frozen  ")
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"0.tif": None}, r"0.png has no partner in .*noisy: the two images of a pair have the same path in their"),
        ({"more.tif": GREY}, r"noisy/more.tif has no partner in .*: the two images"),
        ({"0.png": GREY}, "noisy holds 0.png and 0.tif, but the images of a pair are found by their names without"),
        ({"0.tif": encoded(picture(0, 65, 80))}, r"0.tif has 80 x 65 pixels, but .*0.png has 80 x 64 pixels: the two"),
        (
            {f"{at}.tif": encoded(picture(at, channels=3)) for at in range(4)},
            r"noisy has colour images, but .* grey ones: the two images of a pair have the same channels and bits",
        ),
        ({"0.tif": encoded(picture(0, channels=3))}, r"noisy holds 3 grey and 1 colour images \(colour: 0.tif\)"),
        ({f"{at}.tif": DEEP for at in range(4)}, "noisy has images of 16 bits, but .* of 8: the two images of a pair"),
        ({"0.tif": GREY[:-40]}, "1 file cannot be read: .*noisy/0.tif"),
        (
            several(4) | {f"{at}.tif": None for at in range(4)},
            r"has the images of .*\(their root mean square .* is 0 of",
        ),
        ({"a.txt": b""} | {f"{at}.tif": None for at in range(4)}, "noisy holds no images: files that end in"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_pairs_that_do_not_fit_are_refused(plan_pairs, changed, said):
    files = {name: content for name, content in (several_noisy(4) | changed).items() if content is not None}
    with pytest.raises(BadInput, match=said) as refused:
        plan_pairs(several(4), files)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("saved", ["clean", "noisy"])
def test_one_folder_of_grey_pairs_may_be_saved_as_colour(plan_pairs, saved):
    files = {"clean": several(5), "noisy": several_noisy(5)}
    apart = plan_pairs(*files.values()).params.levels
    for name, content in files[saved].items():
        files[saved][name] = encoded(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
    made = plan_pairs(*files.values())
    assert (made.params.levels, made.params.models["conv"].network["image_channels"]) == (apart, 1)


@pytest.mark.parametrize("other", ["", "in here", ".."])
def test_clean_and_noisy_images_lie_in_two_folders(plan, tmp_path, other):
    there = tmp_path / FOLDER / other
    there.mkdir(parents=True, exist_ok=True)
    with pytest.raises(BadInput, match="lie in each other: clean and noisy images are wanted in two folders side by"):
        plan(several(4), noisy=there)


# Whatever a folder holds


def contents() -> st.SearchStrategy[bytes]:
    sides = st.sampled_from([1, 15, 16, 20, 28, 28, 64, 65, 70])
    seeds = st.integers(0, 3)
    good = st.builds(
        lambda seed, height, width, channels, form: encoded(picture(seed, height, width, channels), form),
        *(seeds, sides, sides, st.sampled_from([1, 1, 1, 3]), st.sampled_from(["PNG", "JPEG", "TIFF", "BMP", "WEBP"])),
    )
    same = st.builds(lambda seed: encoded(picture(seed, 64, 64)), st.integers(0, 10**6))
    bits = st.builds(lambda seed, side: encoded(picture(seed, side, side) > 128), seeds, sides)
    stack = st.builds(lambda seed, side: hostile_files.npy(np.stack([picture(seed, side, side)] * 2)), seeds, sides)
    broken = good.flatmap(lambda content: st.integers(0, len(content)).map(lambda end: content[:end]))
    other = hostile_files.arrays() | st.binary(max_size=50) | st.just(DEEP)
    return st.one_of(same, same, same, good, bits, stack, broken, hostile_files.mutated(GREY), other)


NAMES = [f"{at} é{suffix}" for at in range(6) for suffix in (".png", ".PNG")]
NAMES += ["in here/0.jpg", "in here/1.npy", "a/b/c.TIFF", "notes.txt", "\udcff.png", "a\nb.png", "-rf.png"]


@st.composite
def sound(draw: st.DrawFn) -> dict[str, bytes]:
    """Files that a domain can be made of, if they are large enough for the preset and no two are one image."""
    form, side = draw(st.sampled_from(FORMS)), draw(st.sampled_from([16, 28, 40, 64, 70]))
    kinds = st.sampled_from(["PNG", "TIFF", "BMP", "JPEG"])
    number, more = draw(st.integers(4, 9)), st.integers(0, 70)
    names = [name for name in NAMES if "\udcff" not in name and not name.endswith(".txt")]
    files = {
        name: in_form(at, (side + draw(more), side + draw(more)), form, draw(kinds))[1]
        for at, name in enumerate(names[:number])
    }
    return files | draw(st.dictionaries(st.sampled_from(NAMES), contents(), max_size=draw(st.sampled_from([0, 0, 1]))))


TABLES = (
    st.none()
    | st.binary(max_size=80)
    | st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from("abcdef")), max_size=20).map(
        lambda rows: "\n".join(["file,group", *(f'"{file}",{group}' for file, group in rows)]).encode(
            "utf-8", "replace"
        )
    )
)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])
@given(
    sound() | sound() | st.dictionaries(st.sampled_from(NAMES), contents(), max_size=9),
    st.booleans().flatmap(lambda grouped: TABLES if grouped else st.none()),
    st.sampled_from([None, presets.SMALL, *presets.NAMES]),
)
def test_any_folder_gives_a_plan_or_a_sentence(files, table, preset):
    with pytest.MonkeyPatch.context() as patched, tempfile.TemporaryDirectory() as folder:
        patched.chdir(ROOT)
        patched.setattr(speed, "tiles_per_second", lambda *of: RATE)
        path = written(Path(folder) / "these", files)
        path.mkdir(exist_ok=True)
        if table is not None:
            (path / listing.GROUPS).write_bytes(table)
        try:
            made = command.plan(path, options(preset=preset))
        except BadInput:
            event("refused")
            return
        event("planned")
        assert told(made) == cut_by_the_stage(made)


@st.composite
def sound_pairs(draw: st.DrawFn) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Clean and noisy files that fit, but for one at most."""
    form, side = draw(st.sampled_from(FORMS)), draw(st.sampled_from([20, 64, 70]))
    number, more = draw(st.integers(4, 6)), st.integers(0, 30)
    clean, beside = {}, {}
    for seed in range(number):
        size = side + draw(more), side + draw(more)
        name, clean[f"{seed} é.png"] = in_form(seed, size, form)
        pixels = noisy(picture(seed, *size, 3 if form in ("colour", "deep colour") else 1), seed)
        beside[f"{seed} é.TIFF"] = {
            "grey as colour": lambda pixels: encoded(np.repeat(pixels[..., None], 3, -1)),
            "deep": lambda pixels: hostile_files.npy(pixels.astype(np.uint16) * 257),
            "deep colour": lambda pixels: hostile_files.npy(pixels.astype(np.uint16) * 257),
        }.get(form, encoded)(pixels)
    odd = draw(
        st.dictionaries(st.sampled_from([*clean, "more.png"]), contents(), max_size=draw(st.sampled_from([0, 1])))
    )
    other = draw(
        st.dictionaries(st.sampled_from([*beside, "more.bmp"]), contents(), max_size=draw(st.sampled_from([0, 1])))
    )
    return clean | odd, beside | other


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])
@given(sound_pairs(), st.sampled_from([None, presets.SMALL, *presets.NAMES]))
def test_any_two_folders_give_a_plan_or_a_sentence(both, preset):
    with pytest.MonkeyPatch.context() as patched, tempfile.TemporaryDirectory() as folder:
        patched.chdir(ROOT)
        patched.setattr(speed, "tiles_per_second", lambda *of: RATE)
        origin = Path(folder)
        clean, beside = (written(origin / name, files) for name, files in zip(("clean", "noisy"), both))
        try:
            made = command.plan(clean, options(preset=preset, noisy=beside))
        except BadInput:
            event("refused")
            return
        event("planned")
        cuts = pairs.cut(origin, made.params.data, made.params.seed)
        assert told(made) == {
            split: (len({t.file for t in c.tiles}), len(c.labels())) for split, (c, _) in cuts.items()
        }
        for each, other in cuts.values():
            assert each.form == other.form
            assert each.form.channels == made.params.models["conv"].network["image_channels"]
            assert [tile[1:] for tile in each.tiles] == [tile[1:] for tile in other.tiles]


# The real thing


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A clone with results of MNIST, some of which git has and some of which it ignores. Tests take a copy."""
    made = clone(tmp_path_factory.mktemp("init") / "a clone")
    results = ("models/plain/history.csv", "reports/metrics.json", "reports/study/levels.csv", "champion/model.json")
    written(made.root, dict.fromkeys([*results, "champion.json", "study/large/dvc.lock"], b"{}\n"))
    written(made.root, {"dvc.lock": b"schema: '2.0'\nstages: {}\n", "reports/evaluation/plain.csv": b"a\n"})
    written(made.root, {"models/plain/model.json": b"{}\n"})  # ignored
    made.run("git", "add", "-A")
    made.run("git", "commit", "-q", "-m", "Of MNIST")
    assert made.run("git", "status", "--porcelain").stdout == ""
    return made


@pytest.fixture
def project(started: Pipeline, tmp_path: Path) -> Pipeline:
    subprocess.run(["cp", "-r", started.root, tmp_path / "a copy"], check=True)
    return Pipeline(tmp_path / "a copy", "")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    files = {f"Ünter here/{seed}.PNG": encoded(picture(seed, 70, 130, 3)) for seed in range(5)}
    files |= {f"{seed} a.jpg": encoded(picture(seed, 140, 130, 3), "JPEG") for seed in range(5, 8)}
    rows = [f"{name},{at}" for at, name in enumerate(files)]
    files["groups.csv"] = "\n".join(["file,group", *rows]).encode()
    return written(tmp_path / FOLDER, files | {"notes.txt": b"mine"})


def status(project: Pipeline) -> list[str]:
    return project.run("git", "-c", "core.quotePath=false", "status", "--porcelain", "-uall").stdout.splitlines()


def test_a_clone_becomes_the_project_of_a_folder(project: Pipeline, photos: Path, tree):
    listing_before = tree(photos)
    done = project.run("denoise", "init", str(photos), "--minutes", "0.01")
    assert done.stdout.splitlines()[-2:] == ["  git commit -m 'The domain my-gr-e'", "  make repro"]
    assert "reports/evaluation/plain.csv is removed" in done.stdout
    assert tree(photos) == listing_before
    copied = tree(project.root / layout.IMAGES)
    assert copied == listing_before - {"notes.txt"}
    for name in copied:
        if (photos / name).is_file():
            assert (project.root / layout.IMAGES / name).read_bytes() == (photos / name).read_bytes()
    # All of it is staged: the second column is empty.
    assert [line for line in status(project) if line[1] != " "] == []
    assert {line[3:] for line in status(project) if line[0] in "AM"} == {
        "params.yaml",
        *map(str, layout.IMAGES_TRACKED),
    }
    tracked = project.run("git", "ls-files", "--", *map(str, layout.DOMAIN_PATHS)).stdout.splitlines()
    assert set(tracked) == {"params.yaml", *map(str, layout.IMAGES_TRACKED)}
    assert (project.root / "data/mnist.yaml").exists()
    assert (project.root / "models/plain/model.json").exists()
    made = presets.checked((project.root / "params.yaml").read_text(), "params.yaml")
    assert isinstance(made.data, params.Images)
    project.run("git", "commit", "-q", "-m", "Mine")
    assert "stages/download.py" in project.run("dvc", "repro", "--dry", "download").stdout
    project.run("dvc", "repro", "download")
    told_here = {
        split: np.load(project.root / layout.clean_images(split), mmap_mode="r").shape
        for split in ("train", "val", "gate", "test")
    }
    said = [line for line in done.stdout.splitlines() if line.startswith(tuple(told_here))]
    for line in said[:4]:
        split, tiles = line.split(":")[0], int(line.split(", ")[1].split()[0])
        assert told_here[split] == (tiles, 3, 64, 64)


@pytest.mark.parametrize("most", [2, 5, 9, 20, 1000])
def test_as_many_tiles_are_announced_as_are_cut(tmp_path, most):
    """Also where there are more than params.yaml takes, of images, or of files of several images."""
    sizes = [(40, 90), (17, 200), (64, 64), (16, 16), (100, 33)]
    drawn = np.random.default_rng(1)
    for number, (height, width) in enumerate(sizes * 4):
        images = [drawn.integers(0, 255, (height, width)).astype(np.uint8) for _ in range(1 + number % 3)]
        tifffile.imwrite(tmp_path / f"{number}.tif", np.stack(images), photometric="minisblack")
    folder, (_, preset) = listing.listed(tmp_path), presets.read(presets.PHOTOS)
    data = preset.data.model_copy(
        update={"tile": (16, 16), "most": params.Most(train=most, val=most, gate=most, test=most)}
    )
    seen = survey.survey(folder, lambda *_: None)
    assigned = folders.assigned(folders.groups(tmp_path, folder.files), data.shares, preset.seed)
    said = command._tiles(seen, assigned, preset.model_copy(update={"data": data}), (16, 16))
    made = folders.cut(tmp_path, data, preset.seed)
    assert said == {split: len(cut.tiles) for split, cut in made.items()}
    for split in folders.WHOLE:
        assert made[split].grids().prod(1).sum() == said[split]


def test_pairs_are_copied_cut_and_stored(project: Pipeline, tmp_path: Path, tree):
    clean = written(tmp_path / "the clean", several(6, height=70, width=90, channels=3))
    beside = written(tmp_path / "the noisy", several_noisy(6, height=70, width=90, channels=3) | {"notes.txt": b""})
    (clean / "groups.csv").write_text("file,group\n0.png,a\n1.png,a\n")
    of_label = [["2"], ["3"], ["4"], ["5"], ["0", "1"]]  # by the names of files and groups, in their order
    words = ("--noisy", str(beside), "--preset", "documents", "--minutes", "0.01")
    done = project.run("denoise", "init", str(clean), *words)
    assert tree(project.root / layout.IMAGES) == {
        "clean", "noisy", "clean/groups.csv", *(f"clean/{at}.png" for at in range(6)),
        *(f"noisy/{at}.tif" for at in range(6)),
    }  # fmt: skip
    assert [line for line in status(project) if line[1] != " "] == []
    project.run("git", "commit", "-q", "-m", "Mine")
    project.run("dvc", "repro", "download", "corrupt")
    read = params.read(project.root / "params.yaml")
    [sigma] = read.levels
    assert f"{sigma} of the range apart" in done.stdout
    found = {}
    for split in ("train", "val", "gate", "test"):
        here, there = (np.load(project.root / path(split)) for path in (layout.clean_images, layout.given_noisy))
        assert here.shape == there.shape == (len(here), 3, 70, 90)
        labels = np.load(project.root / layout.clean_labels(split))
        for one, other, label in zip(here, there, labels):
            seen = {int(at): picture(int(at), 70, 90, 3) for at in of_label[label]}
            at = next(at for at, image in seen.items() if (image.transpose(2, 0, 1) == one).all())
            np.testing.assert_array_equal(other, noisy(seen[at], at).transpose(2, 0, 1))
        found[split] = here, there
    for split in ("train", "val", "gate"):
        stored = np.load(project.root / layout.NOISY / f"paired/{split}.npy")
        np.testing.assert_array_equal(stored, found[split][1])
        apart = np.sqrt(np.square((found[split][1].astype(float) - found[split][0]) / 255).mean((1, 2, 3)))
        sigmas = np.load(project.root / layout.NOISY / f"paired/{split}_sigma.npy")
        assert sigmas.dtype == np.float32
        np.testing.assert_allclose(sigmas, apart, rtol=1e-5)
    for split in ("test", "gate"):
        stored = np.load(project.root / layout.NOISE_LEVELS / f"{split}_{sigma}.npy")
        np.testing.assert_array_equal(stored, found[split][1])


@pytest.mark.services
def test_pairs_go_all_the_way(project: Pipeline, tmp_path: Path):
    """The better of two models on the noisy val images is the candidate. Six tiles a file: the gate wants five."""
    clean = written(tmp_path / "clean", several(8, height=130, width=200))
    beside = written(tmp_path / "noisy", several_noisy(8, height=130, width=200))
    project.run("denoise", "init", str(clean), "--noisy", str(beside), "--minutes", "0.01")

    def small(values: dict) -> None:
        small = {"fine_channels": 4, "coarse_channels": 4, "fine_blocks": 1, "coarse_blocks": 1, "epochs": 2}
        values["models"]["conv"].update(small)
        values["models"]["other"] = values["models"]["conv"] | {"learning_rate": 0.00001}
        values["compute"]["threads"] = 1

    project.params(small)
    project.run("git", "commit", "-q", "-a", "-m", "Mine")
    project.run("dvc", "repro")
    [sigma] = params.read(project.root / "params.yaml").levels
    assert {(project.root / f"models/{name}/profile.json").exists() for name in ("conv", "other")} == {True}
    assert f"{sigma}" in (project.root / "reports/levels.csv").read_text()
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "Reproduced")
    done = project.run("denoise", "gate", check=False)
    assert done.returncode in (0, 3), done.stderr  # so short a training need not pass
    assert f"dB at sigma {sigma}, at least" in done.stdout


def test_what_needs_results_says_so_in_one_sentence(project: Pipeline, photos: Path):
    project.run("denoise", "init", str(photos), "--minutes", "0.01")
    project.run("git", "commit", "-q", "-m", "Mine")
    for words in (["fresh"], ["gate"], ["page"], ["sync"], ["doctor"], ["compare"], ["show", "conv"], ["promote"]):
        done = project.run("denoise", *words, check=False)
        assert "Traceback" not in done.stdout + done.stderr
        if words[0] not in ("sync", "doctor"):  # nothing to bring, and a sound machine
            assert done.returncode in (1, 2), words
    done = project.run("make", "-o", ".venv/.ready", "study", check=False)
    assert done.returncode != 0
    assert "error: the study is of MNIST" in done.stderr
    assert not (project.root / "study/dvc.yaml").exists()


def test_a_dry_run_writes_nothing(project: Pipeline, photos: Path, tree):
    before = tree(project.root / "data"), status(project), (project.root / "params.yaml").read_bytes()
    done = project.run("denoise", "init", str(photos), "--dry-run", "--name", "mine")
    assert done.stdout.splitlines()[-2].startswith("domain: mine, colour, 130 x 70 to 140 pixels")
    assert (tree(project.root / "data"), status(project), (project.root / "params.yaml").read_bytes()) == before


def refused(project: Pipeline, *words: str, at: str = ".") -> str:
    """at: the working directory, from the project's root."""
    there = Pipeline(project.root / at, "")
    done = there.run("denoise", "init", *words, check=False, PYTHONPATH=str(project.root / "src"))
    assert done.returncode == 2, done.stdout
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_where_nothing_is_made_over(project: Pipeline, photos: Path):
    assert "is no folder" in refused(project, "missing")
    assert "holds the project itself" in refused(project, "..")
    assert "lies in the project, which keeps a copy of its own" in refused(project, "docs")
    assert "lies in no project" in refused(project, str(photos), at="..")
    assert "but init works from its root" in refused(project, str(photos), at="src")
    assert "docs lies in the project" in refused(project, str(photos), "--noisy", "docs")
    (project.root / "new.txt").write_text("")
    assert "is not as its commit says (new.txt)" in refused(project, str(photos))
    (project.root / "new.txt").unlink()
    (project.root / "README.md").write_text("")
    assert "is not as its commit says (README.md)" in refused(project, str(photos))
    project.run("git", "checkout", "-q", "README.md")
    project.run("denoise", "init", str(photos), "--minutes", "0.01")
    project.run("git", "commit", "-q", "-m", "Mine")
    assert "is the project's own copy" in refused(project, "data/images")
    assert "data/images is there already" in refused(project, str(photos))
    assert status(project) == []


def test_two_do_not_make_a_project_over_at_once(project: Pipeline, photos: Path, monkeypatch):
    """The second one neither while the first is at work, nor after it."""
    monkeypatch.chdir(project.root)
    folder = listing.listed(photos)
    with applying._alone(), pytest.raises(BadInput, match="another `denoise init` is at work in this project"):
        list(applying.apply(folder, None, "x: 1\n"))
    assert status(project) == []
    (project.root / layout.IMAGES).mkdir()
    with pytest.raises(BadInput, match="data/images is there already"):
        list(applying.apply(folder, None, "x: 1\n"))


def test_what_stops_it_halfway_loses_nothing(project: Pipeline, photos: Path, monkeypatch, capsys):
    before = {name: (project.root / name).read_bytes() for name in ("params.yaml", "dvc.lock", "champion.json")}
    monkeypatch.chdir(project.root)

    def fails(*words: str) -> None:
        (project.root / "data/.gitignore").write_text("/images\n")
        raise Failed("the disk is gone")

    monkeypatch.setattr(applying.processes, "must", fails)
    with pytest.raises(Failed, match="the disk is gone"):
        list(applying.apply(listing.listed(photos), None, "x: 1\n"))
    assert not (project.root / "dvc.lock").exists()
    told_way = capsys.readouterr().err.strip().splitlines()[-1]
    way = told_way.removeprefix("not finished; what was here before comes back with: ")
    assert way == applying.BACK
    subprocess.run(["sh", "-c", way], cwd=project.root, check=True)
    assert status(project) == []
    assert not (project.root / layout.IMAGES).exists()
    assert {name: (project.root / name).read_bytes() for name in before} == before


def test_a_copy_that_is_cut_off_leaves_nothing(project: Pipeline, photos: Path, monkeypatch):
    monkeypatch.chdir(project.root)
    folder = listing.listed(photos)
    (photos / folder.files[-1]).unlink()
    with pytest.raises(FileNotFoundError):
        list(applying.apply(folder, None, "x: 1\n"))
    assert status(project) == []
    assert sorted(path.name for path in (project.root / "data").iterdir()) == ["mnist.yaml"]
