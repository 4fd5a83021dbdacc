"""The tables of docs/scale.md: what is computed of measurements, and that the page has what the command writes."""

import json
from pathlib import Path

import measure
import numpy as np
import pytest
import scaling
from PIL import Image

RATES = {"in an array": 784.0, "clean PNG": 280.0, "noisy PNG": 700.0, "restoring": 1e9 / 3600, "PNG": 1e5} | {
    "random": 1e9 / 7200,
    "conv": 1e9 / 36_000,
}
FOUND = [
    scaling.Taken("files", 10, "dvc add", 1.0, 9.0, 60.0, 0.1),
    scaling.Taken("files", 1000, "dvc add", 1.0, 3.6, 50.0, 0.1),
    scaling.Taken("files", 1000, "dvc push", 1.0, 7.2, 90.0, 0.1),
    scaling.Taken("array", 1000, "dvc add", 1.0, 0.036, 50.0, 0.1),
]


def test_a_billion_is_a_billion_times_what_most_images_took() -> None:
    table = {name: (each, whole, gpu) for name, each, whole, gpu in scaling.billion_rows(RATES, FOUND)}
    assert table["one array, and each dataset with noise"] == ("784 bytes", "784 GB", "")
    assert table["the same as files of their own, on the disk"][1] == "4.1 TB"
    assert table["restoring by the champion"] == ("3.6 µs", "1 core-hours", "not measured")
    assert table["an epoch of `random` (MLP)"][1] == "2 core-hours"
    assert table["an epoch of `conv`"][1] == "10 core-hours"
    assert table["`dvc add` of files of their own"][1] == "1,000 core-hours"
    assert table["`dvc add` of one array"][1] == "10 core-hours"
    assert table["memory of that `dvc add` of files"][1] == "50 TB"


def test_what_a_million_would_take_is_said_only_where_it_was_not_tried() -> None:
    assert "not tried: a million files would take 3,600 processor seconds and 50,000 MB" in scaling.how_far(FOUND)
    tried = [each._replace(count=scaling.MILLION) for each in FOUND]
    assert scaling.how_far(tried) == "Measured up to 1,000,000 images."


def test_a_run_more_is_the_difference_of_many_and_few() -> None:
    found = [scaling.Taken("runs", count, "denoise sync", 1.0, 5 + 0.25 * count, 9.0, 2.0) for count in (10, 100)]
    assert scaling.slope(found, "denoise sync", "processor_s") == 0.25
    assert scaling.slope(found, "denoise sync", "store_mb") == 0.0


def test_each_image_differs_and_files_and_array_hold_the_same(tmp_path: Path) -> None:
    clean = np.random.default_rng(1).integers(0, 256, (7, 28, 28), dtype=np.uint8)
    before = clean.copy()
    scaling.write_files(tmp_path / "images", clean, 0, 1_003)
    scaling.write_files(tmp_path / "images", clean, 1_003, 1_004)
    scaling.write_array(tmp_path / "images.npy", clean, 1_003, 1_004)
    paths = sorted((tmp_path / "images").rglob("*.png"))
    files = [np.asarray(Image.open(path)) for path in paths]
    array = np.load(tmp_path / "images.npy")
    assert np.array_equal(files, array) and array.shape == (1_004, 28, 28)
    assert len({image.tobytes() for image in array}) == 1_004
    assert np.array_equal(array[9].ravel()[4:], clean[2].ravel()[4:])
    assert np.array_equal(clean, before)


def test_a_command_is_measured_with_what_it_starts_and_its_failure_said(tmp_path: Path) -> None:
    # It stays for several looks at its memory, as the first may come before Python has begun.
    child = "import time; sum(range(5_000_000)); time.sleep(4 * " + str(scaling.LOOK_S) + ")"
    burn = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    _, processor_s, memory_mb = scaling.taken(tmp_path, scaling.sys.executable, "-c", burn)
    assert processor_s > 0.05 and memory_mb > 1
    with pytest.raises(RuntimeError, match="ended with 3: why"):
        scaling.taken(tmp_path, "sh", "-c", "echo why; exit 3")


@pytest.mark.mnist
@pytest.mark.parametrize("section", ["what grows", "small files", "many runs", "a billion images"])
def test_the_page_has_the_tables_of_what_was_measured(
    section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the figure, which another version of matplotlib draws otherwise."""
    root = Path(__file__).parent.parent
    monkeypatch.chdir(root)
    written = {}
    monkeypatch.setattr(measure, "keep", lambda page, name, text: written.update({name: text}))
    monkeypatch.setattr(scaling.figures, "save", lambda figure, to: None)
    scaling.write_tables()
    assert measure.parts(scaling.PAGE, section)[1].strip() == written[section]
    assert json.loads((scaling.MEASURED / "rates.json").read_text())["in an array"] == 784
