"""`denoise inspect` on files and folders: what it says is what was put there, and nothing is changed."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import domain_profiles
import graph_files
import numpy as np
import pytest
import tifffile
from PIL import Image

from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations.inspecting import command, cost, survey
from domain_denoiser.operations.restoring import command as restoring
from domain_denoiser.runtime import denoiser
from domain_denoiser.runtime.scale import Scale

HEAVY = {"torch", "dvc", "mlflow", "scipy", "pandas", "matplotlib"}


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """The folder with the inputs lies beside it."""
    (tmp_path / "given").mkdir()
    monkeypatch.chdir(tmp_path / "given")
    return graph_files.project(tmp_path / "project")


@pytest.fixture
def inspect(project):
    def run(*words: str, low: float = 0.0, high: float = 1.0) -> command.Report:
        return command.run([Path(word) for word in words], None, project, Scale(low, high))

    return run


@pytest.fixture
def noisy(digits) -> np.ndarray:
    """64 digits with noise of sigma 0.5, uint8 [64, 28, 28]."""
    drawn = np.random.default_rng(1).standard_normal((64, 28, 28))
    return (np.clip(digits[:64] / 255.0 + 0.5 * drawn, 0.0, 1.0) * 255.0).round().astype(np.uint8)


def write(path: str, pixels: np.ndarray) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width), 128, np.uint8)


def test_a_folder_of_digits(inspect, noisy):
    for number, digit in enumerate(noisy):
        write(f"digits/{number % 3}/{number}.png", digit)
    for name in ("digits/notes.txt", "digits/.hidden.png", "digits/1/notes.txt"):
        Path(name).touch()
    found = inspect("digits")
    kind, noise, time, skipped = found.as_lines()
    assert kind == "64 images in 64 files: PNG, 28 x 28, grey, 8 bits"
    assert noise.endswith(" of the range (of 64 images), independent from pixel to pixel")
    assert found.noise.sigma == pytest.approx(0.5, rel=0.1)
    assert re.match(r"restoring by the champion: about \d+ s and ", time)  # how long depends on the machine
    assert skipped == "3 other files skipped"


def test_files_of_many_kinds(inspect):
    write("given/a.png", grey(30, 20))
    write("given/b.jpg", np.zeros((40, 50, 3), np.uint8))
    write("given/c.bmp", grey(5, 9))
    with tifffile.TiffWriter("given/d.tif") as writer:
        for size in ((10, 10), (3, 4)):
            writer.write(np.zeros(size, np.uint16))
    np.save("given/e.npy", np.zeros((7, 6, 5), np.float32))
    found = inspect("given").as_json()
    assert found["kinds"] == {"PNG": 1, "JPEG": 1, "BMP": 1, "TIFF": 1, ".npy": 1}
    assert (found["files"], found["images"]) == (5, 12)
    assert (found["smallest"], found["largest"]) == ([4, 3], [50, 40])
    assert found["types"] == {"uint8": 3, "uint16": 2, "float32": 7}
    assert found["channels"] == {"1": 11, "3": 1}
    assert json.loads(json.dumps(found)).keys() == found.keys()


def test_every_kind_of_noise_has_its_words(inspect, noisy, digits):
    np.save("clean.npy", digits[:64])
    assert inspect("clean.npy").as_lines()[1] == "noise: none to speak of (of 64 images)"
    np.save("tiny.npy", noisy[0, :5, :5])
    np.save("bits.npy", noisy > 128)
    for name in ("tiny.npy", "bits.npy"):
        assert inspect(name).as_lines()[1].startswith("noise: not known")
    drawn = np.random.default_rng(1).standard_normal((128, 130))
    np.save("blurred.npy", (128.0 + 40.0 * (drawn[:, 1:-1] + drawn[:, 2:])).clip(0, 255).astype(np.uint8))
    assert ", not independent from pixel to pixel" in inspect("blurred.npy").as_lines()[1]


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64], ids=lambda dtype: dtype.__name__)
def test_the_noise_is_that_of_8_bits_in_other_types(inspect, noisy, dtype):
    np.save("bytes.npy", noisy)
    np.save("other.npy", (noisy * (257.0 if dtype == np.uint16 else 1 / 255.0)).astype(dtype))
    assert inspect("other.npy").noise == inspect("bytes.npy").noise


def test_the_range_of_floats(inspect, noisy):
    np.save("floats.npy", noisy.astype(np.float32))
    with pytest.raises(BadInput, match="give their range with --range"):
        inspect("floats.npy")
    assert inspect("floats.npy", high=255.0).noise.sigma == pytest.approx(0.5, rel=0.1)


def test_broken_files_are_named_as_restoring_names_them(inspect, project, noisy):
    write("given/whole.png", noisy[0])
    content = Path("given/whole.png").read_bytes()
    Path("given/cut.png").write_bytes(content[:300])
    Path("given/empty.png").touch()
    Path("given/out.png").symlink_to(project / "dvc.yaml")
    found = inspect("given")
    options = restoring.Options(None, project, Scale(), 1, skip_existing=False, dry_run=False, strict=False)
    assert found.surveyed.broken == restoring.run([Path("given")], Path("restored"), options).broken
    assert len(found.surveyed.broken) == 3
    assert found.as_json()["files"] == 1


def test_only_broken_files(inspect):
    Path("one.png").write_bytes(b"nothing")
    Path("two.png").write_bytes(b"nothing")
    with pytest.raises(BadInput, match="one.png is of an unknown kind"):
        inspect("one.png")
    found = inspect("one.png", "two.png")
    assert (len(found.surveyed.broken), found.as_lines(), found.as_json()["largest"]) == (2, [], None)


def test_a_folder_whose_only_image_is_broken_is_no_bad_input(inspect):
    """As `restore` has it: exit status 1, not 2."""
    Path("folder").mkdir()
    Path("folder/one.png").write_bytes(b"nothing")
    assert len(inspect("folder").surveyed.broken) == 1


def test_what_is_missing(inspect):
    with pytest.raises(BadInput, match="gone.png does not exist"):
        inspect("gone.png")
    Path("empty").mkdir()
    with pytest.raises(BadInput, match="empty holds no images"):
        inspect("empty")


def test_without_a_champion_it_says_how_one_is_made_and_what_else_there_is(inspect, project, monkeypatch):
    (project / "champion/model.onnx").unlink()
    (project / "models/conv").mkdir(parents=True)
    (project / "models/conv/model.json").write_text("{}")
    with pytest.raises(BadInput) as raised:
        inspect(".")
    assert str(raised.value) == (
        f"{project} has no champion yet (champion/model.onnx is missing): `denoise gate` and `denoise promote` make one"
        "; or name a trained model: --model conv"
    )
    monkeypatch.setattr(denoiser.resources, "files", lambda _: Path("nowhere"))
    with pytest.raises(BadInput, match="lies in no project.*by --project or DENOISE_PROJECT, or a model by --model$"):
        command.run([Path()], None, None, Scale())


@pytest.mark.parametrize("number", [1, 5, 256, 257, 1000])
def test_images_are_chosen_evenly_and_not_too_many(inspect, number):
    np.save("many.npy", np.zeros((number, 28, 28), np.uint8))
    assert 0.5 * min(number, survey.SAMPLED) < inspect("many.npy").noise.images <= survey.SAMPLED
    paths = [Path(str(index)) for index in range(number)]
    chosen = sorted(int(str(path)) for path in survey.evenly(paths, survey.SAMPLED))
    gaps = np.diff([*chosen, number])
    assert len(chosen) == min(number, survey.SAMPLED)
    assert gaps.max() - gaps.min() <= 1


def test_the_same_files_give_the_same_noise(inspect, noisy):
    for number, digit in enumerate(noisy[:10]):
        write(f"digits/{number}.png", digit)
    assert inspect("digits").noise == inspect("digits").noise


def test_nothing_is_written(inspect, noisy, tmp_path, tree):
    write("digits/1.png", noisy[0])
    before = tree(tmp_path)
    inspect("digits")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(("number", "side"), [(100, 100), (4, 1500)])
def test_twice_as_many_images_take_about_twice_as_long(inspect, monkeypatch, number, side):
    """By a clock that goes on by one with each look, so what is extrapolated is left."""
    ticks = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: float(next(ticks)))
    monkeypatch.setattr(survey, "time", clock)
    monkeypatch.setattr(cost, "time", clock)
    seconds = []
    for images in (number, 2 * number):
        np.save("many.npy", np.zeros((images, side, side), np.uint8))
        seconds.append(inspect("many.npy").cost.seconds)
    assert 1.5 * seconds[0] < seconds[1] < 2.1 * seconds[0]


@pytest.mark.parametrize(("channels", "times"), [(1, 3.0), (3, 1.0)])
def test_grey_images_take_as_long_as_colour_ones_where_the_model_is_for_colour(
    inspect, project, monkeypatch, channels, times
):
    """Beside a large colour image, whose time is measured; by the clock of the last test."""
    (project / "champion/model.onnx").write_bytes(graph_files.negative(channels=channels))
    ticks = itertools.count()
    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    monkeypatch.setattr(survey, "time", SimpleNamespace(perf_counter=lambda: 0.0))
    np.save("measured.npy", np.zeros((960, 960, 3), np.uint8))
    alone = inspect("measured.npy").cost.seconds
    np.save("more.npy", np.zeros((900, 900), np.uint8))
    with_grey = inspect("measured.npy", "more.npy").cost.seconds
    assert with_grey - alone == pytest.approx(900**2 / 960**2 / times)


def test_large_images_take_more_memory(inspect):
    np.save("small.npy", grey(9, 9))
    np.save("large.npy", grey(4000, 4000))
    assert inspect("large.npy").cost.memory_mb > inspect("small.npy").cost.memory_mb + 40


def denoise(*words: str) -> subprocess.CompletedProcess[str]:
    program = (
        f"import sys; sys.argv[1:] = {list(words)}\nfrom domain_denoiser import cli\ntry:\n    cli.main()\n"
        f"finally:\n    print('loaded:', *sorted({HEAVY} & sys.modules.keys()), file=sys.stderr)"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


def test_the_program_prints_lines_or_json_and_loads_nothing_of_the_pipeline(project, noisy):
    write("given/1.png", noisy[0])
    done = denoise("inspect", "--project", str(project), "given")
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "loaded:\n", 3)
    Path("given/cut.png").write_bytes(b"\x89PNG")
    done = denoise("inspect", "--project", str(project), "--json", "given")
    assert (done.returncode, len(json.loads(done.stdout)["broken"])) == (1, 1)
    assert done.stderr.startswith("broken: given/cut.png")
    assert denoise("inspect", "--project", str(project), "given/cut.png").returncode == 2


def test_any_model_may_be_named(project):
    """Before there is a champion, as with `denoise restore`."""
    (project / "champion/model.onnx").rename("other.onnx")
    write("own/1.png", np.zeros((28, 28), np.uint8))
    lines = command.run([Path("own")], "./other.onnx", project, Scale()).as_lines()
    assert any(line.startswith("restoring by ./other.onnx: about ") for line in lines)
    with pytest.raises(BadInput, match="there is no model 'other'"):
        command.run([Path("own")], "other", project, Scale())


def test_whether_images_are_of_the_domain(inspect, project, digits):
    profile = domain_profiles.of(digits[:100], domain_profiles.negative)
    (project / "champion/model.onnx").write_bytes(graph_files.negative(profile=profile))
    own = (domain_profiles.with_noise(digits[100:120], 0.3, 2) * 255).round().astype(np.uint8)
    for number, digit in enumerate(own):
        write(f"own/{number}.png", digit)
        write(f"other/{number}.png", 255 - digit)
    assert inspect("own").domain == (20, 0, [])
    assert "domain: like the images that the champion was trained for (of 20 images)" in inspect("own").as_lines()
    found = inspect("other")
    assert (found.domain.images, found.domain.foreign) == (20, 20)
    lines = [line for line in found.as_lines() if line.startswith("domain: ")]
    assert sum(int(line.split()[3]) for line in lines) == 20
    assert all("its negative does look like them: try --invert" in line for line in lines)
    assert found.as_json()["domain"] == {"images": 20, "foreign": 20, "findings": found.domain.findings}


@pytest.mark.parametrize("names", ["0123456789", "9876543210"])
def test_images_from_everywhere_are_compared_with_the_domain(inspect, project, digits, names, monkeypatch):
    """Parts of all that are looked at, and none of a bit is left out."""
    monkeypatch.setattr(survey, "COMPARED", 28 * 28 * 10)
    profile = domain_profiles.of(digits[:100], domain_profiles.negative)
    (project / "champion/model.onnx").write_bytes(graph_files.negative(profile=profile))
    own = (domain_profiles.with_noise(digits[100:150], 0.3, 2) * 255).round().astype(np.uint8)
    pages = np.concatenate(own.reshape(10, 5, 28, 28).transpose(0, 2, 1, 3)).reshape(10, 28, 140)
    for place, name in enumerate(names):
        write(f"in/{name}.png", pages[place] if place < 5 else 255 - pages[place])
    assert (inspect("in").domain.images, inspect("in").domain.foreign) == (10, 5)
    write("bits/one.png", pages[0] < 128)
    assert inspect("bits").domain.images == 1


def test_a_champion_that_does_not_know_its_domain(inspect, noisy):
    write("digit.png", noisy[0])
    found = inspect("digit.png")
    assert found.domain is None
    assert not [line for line in found.as_lines() if line.startswith("domain")]
