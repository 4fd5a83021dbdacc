"""`denoise restore` on files and folders: what is found, where it goes, what is refused, what stays when it fails."""

import os
import re
import signal
from pathlib import Path

import domain_profiles
import graph_files
import numpy as np
import pytest
import tifffile
from PIL import Image

from domain_denoiser.base.errors import BadInput
from domain_denoiser.base.signals import Stopped, heeded
from domain_denoiser.domain.profile import Finding, Profile
from domain_denoiser.operations.restoring import command, files, foreign
from domain_denoiser.operations.restoring.command import Options
from domain_denoiser.operations.restoring.foreign import Watch
from domain_denoiser.runtime.scale import Scale

DIGIT = np.arange(784, dtype=np.uint16).reshape(28, 28).astype(np.uint8)
OPTIONS = Options(None, None, Scale(), 1, skip_existing=False, dry_run=False, strict=False)


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """The folder with the inputs lies beside it."""
    (tmp_path / "given").mkdir()
    monkeypatch.chdir(tmp_path / "given")
    return graph_files.project(tmp_path / "project")


@pytest.fixture
def run(project):
    def restore(*words: str, **options) -> command.Outcome:
        *sources, target = map(Path, words)
        return command.run(sources, target, OPTIONS._replace(project=project, **options))

    return restore


@pytest.fixture
def refuse(run, tmp_path, tree):
    """Restoring must end with one sentence that says what is wanted, and change nothing."""

    def check(wanted: str, *words: str, **options) -> None:
        before = {name: (tmp_path / name).read_bytes() for name in tree(tmp_path) if (tmp_path / name).is_file()}
        folders = tree(tmp_path)
        with pytest.raises(BadInput, match=wanted):
            run(*words, **options)
        assert tree(tmp_path) == folders
        assert {name: (tmp_path / name).read_bytes() for name in before} == before

    return check


def write(path: str, pixels: np.ndarray = DIGIT, **how) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **how)


def read(path: str) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened)


# One file


@pytest.mark.parametrize("name", ["noisy.png", "NOISY.PNG", "Ziffer größer 7 ☃.png", "-rf.png", "noisy.bmp"])
def test_a_file_into_a_file(run, name):
    write(name)
    assert run(name, f"new/{name}").lines == [f"1 image restored by the champion: new/{name}"]
    np.testing.assert_array_equal(read(f"new/{name}"), 255 - DIGIT)


def test_a_file_into_a_folder_that_is_there(run, tree):
    write("7.png")
    write("restored/other.png")
    run("7.png", "restored")
    assert tree(Path("restored")) == {"7.png", "other.png"}


def test_pages_of_any_size(run):
    pages = [DIGIT.astype(np.uint16) * 257, np.zeros((5, 9), np.uint16)]
    with tifffile.TiffWriter("pages.tif") as writer:
        for page in pages:
            writer.write(page)
    assert run("pages.tif", "restored.tif").lines[0].startswith("2 images restored")
    with tifffile.TiffFile("restored.tif") as opened:
        for page, found in zip(pages, opened.pages, strict=True):
            np.testing.assert_array_equal(found.asarray(), 65535 - page)


@pytest.mark.parametrize("count", [1, 200, 1001])
def test_an_array_of_many_images(run, count):
    given = np.resize(DIGIT, (count, 28, 28))
    np.save("noisy.npy", given)
    assert run("noisy.npy", "restored.npy").lines[0].startswith(f"{count} image")
    np.testing.assert_array_equal(np.load("restored.npy"), 255 - given)


def test_a_large_array_is_restored_in_parts(run, monkeypatch):
    """More than would fit, were it read at once; a hole on the disk costs nothing."""
    count, sizes = 20_000, []
    with Path("noisy.npy").open("wb") as opened:
        np.lib.format.write_array_header_1_0(opened, {"descr": "|u1", "fortran_order": False, "shape": (count, 28, 28)})
        opened.truncate(opened.tell() + count * 784)
    original = files.Denoiser.judged
    monkeypatch.setattr(
        files.Denoiser, "judged", lambda self, block, *rest: sizes.append(block.size) or original(self, block, *rest)
    )
    run("noisy.npy", "restored.npy")
    assert sum(sizes) == count * 784
    assert max(sizes) <= 800_000
    assert np.load("restored.npy", mmap_mode="r").min() == 255


def test_a_jpeg_becomes_a_png_or_what_the_name_says(run):
    write("photo.jpg", np.full((28, 28, 3), (10, 100, 200), np.uint8), quality=95)
    for name, kind in (("a.png", "PNG"), ("b.jpg", "JPEG"), ("c.JPEG", "JPEG")):
        run("photo.jpg", name)
        with Image.open(name) as opened:
            assert opened.format == kind
            assert np.abs(np.asarray(opened).astype(int) - (245, 155, 55)).max() <= 3


def test_floats_with_a_range_and_an_inverted_image(run):
    np.save("noisy.npy", np.linspace(0, 255, 784).reshape(1, 28, 28))
    run("noisy.npy", "restored.npy", scale=Scale(0.0, 255.0))
    np.testing.assert_allclose(np.load("restored.npy"), 255 - np.load("noisy.npy"), atol=1e-4)


def test_an_inverted_image(run, project):
    (project / "champion/model.onnx").write_bytes(graph_files.darker())
    write("7.png")
    run("7.png", "plain.png")
    run("7.png", "inverted.png", scale=command.scale("0,1", invert=True))
    np.testing.assert_allclose(read("plain.png"), DIGIT / 2, atol=0.51)
    np.testing.assert_allclose(read("inverted.png"), 255 - (255 - DIGIT.astype(int)) / 2, atol=0.51)


@pytest.mark.parametrize("text", ["", "1", "1,0", "0,0", "a,b", "0,inf", "nan,1", "0,1,2", "0,1e39", "-3e38,3e38"])
def test_a_range_that_is_none(text):
    with pytest.raises(BadInput, match="--range is"):
        command.scale(text, False)


def test_an_older_output_is_replaced_and_the_input_stays(run):
    write("7.png")
    before = Path("7.png").read_bytes()
    Path("restored.png").write_bytes(b"older")
    run("7.png", "restored.png")
    np.testing.assert_array_equal(read("restored.png"), 255 - DIGIT)
    assert Path("7.png").read_bytes() == before


def test_one_file_that_is_refused(refuse, project):
    write("7.png")
    Path("text.txt").write_text("text")
    Path("cut.png").write_bytes(Path("7.png").read_bytes()[:-30])
    refuse("nowhere.png does not exist", "nowhere.png", "restored.png")
    refuse("text.txt is of an unknown kind, but an image is wanted", "text.txt", "restored.txt")
    refuse("cut.png is not a whole PNG", "cut.png", "restored.png")
    refuse("restored.jpg must end in .png, as 7.png is a PNG file", "7.png", "restored.jpg")
    refuse("restored must end in .png", "7.png", "restored")
    refuse("is the input itself", "7.png", "7.png")
    refuse("is the input itself", "7.png", "../given/7.png")
    (project / "champion/model.onnx").write_bytes(graph_files.negative((28, 29)))
    refuse("7.png has 28 x 28 pixels, but the model takes 29 x 28", "7.png", "restored.png")


# Folders, and several inputs


@pytest.fixture
def mixed(capsys) -> None:
    """A folder of all sorts."""
    write("in/1.png")
    write("in/sub/deep/2.png")
    write("in/photo.jpg", np.zeros((9, 9), np.uint8))
    write("in/named.jpg", format="PNG")
    np.save("in/many.npy", np.resize(DIGIT, (3, 28, 28)))
    Path("in/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    Path("in/text.png").write_text("no picture")
    for name in ("in/README.txt", "in/._1.png", "in/Thumbs.db", "in/.hidden/3.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"\0\5\x16\7")
    Path("outside.png").write_bytes(Path("in/1.png").read_bytes())
    Path("in/link.png").symlink_to("../outside.png")
    Path("in/inside.png").symlink_to("sub/deep/2.png")
    Path("in/linked").symlink_to("/")


def test_a_folder_with_its_subfolders(run, mixed, tree, capsys):
    done = run("in", "out")
    assert done.lines == ["8 images restored by the champion: out (5 other files skipped)"]
    found = {name for name in tree(Path("out")) if Path("out", name).is_file()}
    assert found == {"1.png", "sub/deep/2.png", "photo.png", "named.png", "many.npy", "inside.png"}
    assert [sentence.split(" ")[0] for sentence in sorted(done.broken)] == [
        "in/broken.png",
        "in/link.png",
        "in/text.png",
    ]
    for name in ("1.png", "sub/deep/2.png", "named.png"):
        np.testing.assert_array_equal(read(f"out/{name}"), 255 - DIGIT)
    np.testing.assert_array_equal(np.load("out/many.npy"), 255 - np.load("in/many.npy"))
    assert "in/named.jpg is named like a JPEG file, but is a PNG file" in capsys.readouterr().err


def test_skipping_what_exists_goes_on_and_restores_nothing_twice(run, mixed):
    run("in", "out")
    Path("out/1.png").write_bytes(b"mine")
    Path("out/sub/deep/2.png").unlink()
    done = run("in", "out", skip_existing=True)
    assert done.lines == ["1 image restored by the champion: out (5 there already, 5 other files skipped)"]
    assert Path("out/1.png").read_bytes() == b"mine"
    np.testing.assert_array_equal(read("out/sub/deep/2.png"), 255 - DIGIT)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(run, mixed, tree, tmp_path):
    before = tree(tmp_path)
    done = run("in", "out", dry_run=True)
    assert "in/1.png: PNG, 28 x 28, grey, uint8 -> out/1.png" in done.lines
    assert "in/many.npy: .npy, 3 x 28 x 28, grey, uint8 -> out/many.npy" in done.lines
    assert done.lines[-1] == "6 files would be restored by the champion: out (5 other files skipped)"
    assert len(done.broken) == 3
    assert tree(tmp_path) == before


def test_a_jpeg_beside_a_png_of_its_name_costs_both(run, tree):
    """Else a run that goes on would take the one for the other."""
    write("in/7.jpg")
    write("in/8.png")
    run("in", "out")
    assert tree(Path("out")) == {"7.png", "8.png"}
    write("in/7.png")
    done = run("in", "out", skip_existing=True)
    assert sorted(done.broken) == [
        f"in/7.{suffix}: in/7.jpg and in/7.png would both become 7.png; restore it alone, into a file of another name"
        for suffix in ("jpg", "png")
    ]
    assert done.lines == ["0 images restored by the champion: out (1 there already)"]


def test_names_that_differ_in_case_or_spelling_are_one(run):
    for name in ("A.png", "a.jpg", "\u00e4.png", "a\u0308.jpg"):
        write(f"in/{name}")
    assert len(run("in", "out").broken) == 4


def test_a_dot_in_a_name_is_no_suffix(run, tree):
    write("in/sigma0.1", format="PNG")
    write("in/sigma0.2", format="PNG")
    run("in", "out")
    assert tree(Path("out")) == {"sigma0.1.png", "sigma0.2.png"}


def test_several_inputs_go_into_a_folder(run, tree):
    write("1.png")
    write("in/1.png")
    write("in/sub/2.png")
    run("1.png", "in", "out")
    assert tree(Path("out")) == {"1.png", "in", "in/1.png", "in/sub", "in/sub/2.png"}


def test_inputs_and_outputs_in_the_way(refuse):
    write("1.png")
    write("in/1.png")
    write("full/mine.png")
    Path("empty").mkdir()
    refuse("1.png and in/1.png would both become 1.png", "1.png", "in/1.png", "out")
    refuse("nowhere does not exist", "in", "nowhere", "out")
    refuse("full is there already: .* --skip-existing", "in", "full")
    refuse("1.png is there already", "in", "1.png")
    write("full/1.png")
    refuse("full/1.png is there already", "1.png", "full")
    refuse("full/1.png is the input itself", "full/1.png", "full")
    refuse("1.png is the input itself", "1.png", ".", skip_existing=True)
    refuse("1.png is the input itself", "1.png", "in", ".", skip_existing=True)
    refuse("in/out lies in the input in", "in", "in/out")
    refuse("in is there already", "in", "in")
    refuse("in lies in the input in", "in", "in", skip_existing=True)
    refuse("empty holds no images: .png", "empty", "out")


def test_a_place_that_cannot_be_written_to(refuse):
    write("1.png")
    write("in/1.png")
    Path("file").write_text("no folder")
    refuse("cannot be written", "1.png", "file/restored.png")
    refuse("cannot be written", "in", "file/restored")


def test_a_page_that_is_damaged_costs_its_file(run, tree):
    write("in/1.png")
    tifffile.imwrite("in/two.tif", np.zeros((2, 64, 64), np.uint8), photometric="minisblack")
    content = Path("in/two.tif").read_bytes()
    Path("in/two.tif").write_bytes(content[:-1000])
    done = run("in", "out")
    assert len(done.broken) == 1 and "two.tif" in done.broken[0]
    assert tree(Path("out")) == {"1.png"}


def test_what_cannot_be_opened_costs_its_file(run, tree):
    write("in/1.png")
    Path("in/gone.png").symlink_to("nowhere.png")
    Path("in/loop.png").symlink_to("loop.png")
    os.mkfifo("in/pipe.png")
    done = run("in", "out")
    assert sorted(sentence.split(" ")[0] for sentence in done.broken) == ["in/gone.png", "in/loop.png", "in/pipe.png"]
    assert tree(Path("out")) == {"1.png"}


def test_what_the_denoiser_cannot_restore_costs_its_file(run, project, tree):
    """Also of a later page; and each is named."""
    (project / "champion/model.onnx").write_bytes(graph_files.negative((28, 28)))
    write("in/1.png")
    write("in/2.png", np.zeros((5, 5), np.uint8))
    with tifffile.TiffWriter("in/3.tif") as writer:
        for shape in ((28, 28), (28, 29)):
            writer.write(np.zeros(shape, np.uint8))
    write("in/4.png")
    done = run("in", "out")
    assert sorted(sentence.split(" ")[0].rstrip(":") for sentence in done.broken) == ["in/2.png", "in/3.tif"]
    assert tree(Path("out")) == {"1.png", "4.png"}


def test_what_fails_while_reading_leaves_what_was_read_before(run, tree, monkeypatch):
    for number in range(3):
        write(f"in/{number}.png", np.zeros((4 + number, 4), np.uint8))
    original = files.opening.opened

    def opened(path, *rest):
        if path.name == "2.png":
            raise MemoryError
        return original(path, *rest)

    monkeypatch.setattr(files.opening, "opened", opened)
    with pytest.raises(MemoryError):
        run("in", "out")
    assert tree(Path("out")) == {"0.png", "1.png"}


def test_a_signal_does_not_wait_for_a_large_image(run, monkeypatch):
    """The tiles that are left are not computed."""
    write("large.png", np.zeros((900, 2000), np.uint8))
    write("in/1.png")
    pieces = []
    original = files.Denoiser._piece

    def piece(self, *given):
        pieces.append(given)
        os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *given)

    monkeypatch.setattr(files.Denoiser, "_piece", piece)
    with pytest.raises(Stopped), heeded():
        run("large.png", "restored.png")
    assert len(pieces) < 6
    assert not Path("restored.png").exists()


def test_the_threads_are_those_that_were_asked_for(run, monkeypatch):
    asked = []
    original = command.Denoiser.__init__
    monkeypatch.setattr(
        command.Denoiser, "__init__", lambda self, *given: asked.append(given[2]) or original(self, *given)
    )
    write("7.png")
    run("7.png", "out.png", threads=3)
    assert asked == [3]


def test_batches_do_not_show(run, monkeypatch):
    for number, side in enumerate((5, 5, 5, 7, 5, 5)):
        write(f"in/{number}.png", np.full((side, side), 40 * number, np.uint8))
    monkeypatch.setattr(files, "BATCH", 2 * 25)
    run("in", "out")
    for number in range(6):
        assert (read(f"out/{number}.png") == 255 - 40 * number).all()


def test_what_is_true_of_many_files_is_said_once(run, capsys):
    for number in range(5):
        write(f"in/{number}.png", np.zeros((4, 4, 3), np.uint8))
    run("in", "out")
    said = [line for line in capsys.readouterr().err.splitlines() if "colour channels" in line]
    assert len(said) == 2
    assert "the same of 4 more files" in said[1]


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_model_for_colour_restores_colours_together_and_nothing_is_said_of_it(run, project, capsys, dry_run):
    (project / "champion/model.onnx").write_bytes(graph_files.negative(channels=3))
    given = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    write("in/colour.png", given)
    write("in/grey.png")
    run("in", "out", dry_run=dry_run)
    assert "note" not in capsys.readouterr().err
    if not dry_run:
        np.testing.assert_array_equal(read("out/colour.png"), 255 - given)
        np.testing.assert_array_equal(read("out/grey.png"), 255 - DIGIT)


def test_a_folder_is_looked_at_as_often_for_many_files_as_for_few(run, monkeypatch):
    """Taking leftovers out of the folder before each file made it quadratic: 4,000 PNGs took 13 s."""

    def looks(count: int) -> int:
        for number in range(count):
            write(f"{count}/{number}.png")
        seen = []
        with monkeypatch.context() as patched:
            for name in ("scandir", "listdir"):
                original = getattr(os, name)
                patched.setattr(os, name, lambda path, original=original: seen.append(path) or original(path))
            run(f"{count}", f"{count} restored")
        return len(seen)

    assert looks(3) == looks(30) > 0


# Images of another kind


@pytest.fixture
def digits_only(project, digits) -> np.ndarray:
    """The champion knows what digits look like to it; noisy digits that it was not fitted to, uint8 [100, 28, 28]."""
    profile = domain_profiles.of(digits[:100], domain_profiles.negative)
    (project / "champion/model.onnx").write_bytes(graph_files.negative(profile=profile))
    return (domain_profiles.with_noise(digits[100:], 0.3, 2) * 255).round().astype(np.uint8)


def test_the_domains_own_images_are_restored_without_a_word(run, digits_only, capsys):
    for number, digit in enumerate(digits_only[:20]):
        write(f"in/{number}.png", digit)
    run("in", "out")
    run("in/3.png", "3.png", strict=True)
    assert warnings(capsys) == []


def warnings(capsys) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]


def test_a_foreign_image_is_restored_with_a_warning_or_refused(run, refuse, digits_only, capsys):
    write("negative.png", 255 - digits_only[0])
    run("negative.png", "out.png")
    [warning] = warnings(capsys)
    assert "negative.png does not look like the images that the model was trained for: brightness of the" in warning
    assert warning.endswith("; its negative does look like them: try --invert")
    np.testing.assert_array_equal(read("out.png"), digits_only[0])
    refuse("negative.png does not look like .*: try --invert$", "negative.png", "2.png", strict=True)
    run("negative.png", "3.png", strict=True, scale=Scale(invert=True))
    assert Path("3.png").exists()
    assert warnings(capsys) == []


def test_the_hint_is_what_helps_with_that_image(run, digits_only, capsys):
    write("digit.png", digits_only[0])
    run("digit.png", "1.png", scale=Scale(invert=True))
    assert warnings(capsys)[0].endswith("; its negative does look like them: try it without --invert")
    noise = np.random.default_rng(3).integers(0, 256, (28, 28), dtype=np.uint8)
    write("noise.png", noise)
    run("noise.png", "2.png")
    assert "--invert" not in warnings(capsys)[0]
    with pytest.raises(BadInput, match="expected; without --strict it is restored all the same$"):
        run("noise.png", "3.png", strict=True)
    for name, others in (("last", [*digits_only[:3], 255 - digits_only[3]]), ("noise", [*digits_only[:3], noise])):
        np.save(f"{name}.npy", np.stack(others))
        run(f"{name}.npy", f"{name}-out.npy")
        [warning] = warnings(capsys)
        assert ("try --invert" in warning) == (name == "last")


def test_an_image_that_went_away_gets_no_hint(run, digits_only, capsys, monkeypatch):
    def gone(*_):
        raise BadInput("it does not exist")

    write("in/negative.png", 255 - digits_only[0])
    monkeypatch.setattr(command, "_image", gone)
    assert run("in", "out").broken == []
    [warning] = warnings(capsys)
    assert "--invert" not in warning


def test_one_warning_for_a_kind_of_finding_and_folder(run, digits_only, capsys):
    for folder, number in (("one", 5), ("two", 7)):
        for index in range(number):
            write(f"in/{folder}/{index}.png", 255 - digits_only[index])
    for index in range(10):
        write(f"in/digits/{index}.png", digits_only[index])
    assert run("in", "out").broken == []
    said = warnings(capsys)
    assert any(
        re.match(r"warning: in in/one, [1-5] of 5 images do(es)? not look like .*, as in \d.png: ", line)
        for line in said
    )
    assert sum(int(line.split()[3]) for line in said) == 12
    refused = run("in", "strict", strict=True).broken
    assert len(refused) == 12
    assert {path.parent.name for path in Path("strict").rglob("*.png")} == {"digits"}


def test_many_folders_give_few_warnings(run, digits_only, capsys):
    for index in range(15):
        write(f"in/{index}/a.png", 255 - digits_only[index])
    run("in", "out")
    said = warnings(capsys)
    assert len(said) == foreign.SENTENCES + 1
    assert said[-1] == "warning: 5 more images do not look like those that the model was trained for"


def test_a_foreign_page_refuses_its_file_when_strict(run, digits_only, tree):
    np.save("pages.npy", np.concatenate([digits_only[:5], 255 - digits_only[5:6]]))
    np.save("others.npy", digits_only[:5])
    [refused] = run("pages.npy", "others.npy", "out", strict=True).broken
    assert refused.startswith("pages.npy does not look like")
    assert tree(Path("out")) == {"others.npy"}


def test_a_model_that_does_not_know_its_domain_cannot_be_strict(refuse):
    write("digit.png")
    refuse("does not say what its images look like, so --strict can refuse none", "digit.png", "out.png", strict=True)


def test_as_many_as_by_mistake_are_not_spoken_of_unless_one_is_sure():
    finding = Finding(0, 1.0, 0.0, 0.5, sure=False)
    watch = Watch(strict=False, hint=lambda path, index: "")
    for number in range(10_000):
        watch.see(Path(f"in/{number}.png"), 0, [finding if number % 150 == 0 else None])
    assert list(watch.sentences(0.005)) == []
    assert len(list(watch.sentences(0.001))) == 1
    assert (watch.images, watch.foreign) == (10_000, 67)
    watch.see(Path("in/other.png"), 0, [finding._replace(sure=True)])
    assert len(list(watch.sentences(0.005))) == 1


@pytest.mark.parametrize("reach", [(0, 1), (12, 4)])
def test_a_large_image_is_judged_as_a_whole(project, run, digits, digits_only, capsys, monkeypatch, reach):
    monkeypatch.setattr("domain_denoiser.runtime.tiles.SIDE", 30)
    profile = domain_profiles.of(digits[:100], domain_profiles.negative)
    graph = graph_files.negative(reach=reach, profile=profile)
    (project / "champion/model.onnx").write_bytes(graph)
    whole = np.concatenate(np.concatenate(digits_only.reshape(10, 10, 28, 28), axis=1), axis=1)
    large = np.concatenate([whole, whole], axis=1)
    write("large.png", large)
    write("negative.png", 255 - large)
    run("large.png", "out/large.png")
    assert warnings(capsys) == []
    run("negative.png", "out/negative.png")
    assert "negative.png does not look like" in warnings(capsys)[0]
    counted = []
    monkeypatch.setattr(Profile, "findings", lambda self, added: counted.append(added) or [None] * len(added))
    denoiser = files.Denoiser(graph, "here", 1)
    denoiser.judged(large[None, :, :, None], Scale())
    np.testing.assert_array_equal(counted[0][0, :2], [large.size, pytest.approx(large.sum() / 255, rel=1e-6)])


def test_all_channels_of_a_colour_image_are_judged(run, digits_only, capsys):
    write("grey.png", np.stack([digits_only[0]] * 3, axis=2))
    write("one.png", np.stack([digits_only[0], digits_only[0], 255 - digits_only[0]], axis=2))
    run("grey.png", "1.png")
    assert warnings(capsys) == []
    run("one.png", "2.png")
    assert len(warnings(capsys)) == 1
