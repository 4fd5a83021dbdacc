"""Two states that differ in a model, and what their intervals are over."""

import io
import json

import numpy as np
import pandas
import pytest

from domain_denoiser.base import checksum
from domain_denoiser.base.errors import BadInput
from domain_denoiser.runs import compare
from domain_denoiser.runs.dvc_lock import Stage

TILES = 60
LABELS = "data/clean/test_labels.npy"


class Held:
    """What DVC's cache would have: content by its MD5."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def add(self, content: bytes) -> str:
        md5 = checksum.md5(content)
        self.contents[md5] = content
        return md5

    def find(self, path: str, md5: str) -> bytes | None:
        return self.contents.get(md5)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def side(name: str, psnr_db: np.ndarray, kind: str, labels: bytes) -> compare.Side:
    """A state of one model, evaluated on tiles at sigma 0.1."""
    held = Held()
    table = pandas.DataFrame({"sigma": 0.1, "image": range(len(psnr_db)), "psnr_db": psnr_db})
    metrics = json.dumps({"models": {"conv": {"0.1": {"psnr_db": float(psnr_db.mean())}}}}).encode()
    read = {"data/clean/test_images.npy": "1" * 32}
    out = {"reports/evaluation/conv.csv": held.add(table.to_csv(index=False).encode())}
    stages = {
        "download": Stage("download", "", {}, {"data": {"kind": kind}}, {}),
        "evaluate@conv": Stage("evaluate@conv", "", read, {}, out),
        "figures@conv": Stage("figures@conv", "", read | {LABELS: held.add(labels)}, {}, {}),
        "summarise": Stage("summarise", "", {}, {}, {"reports/metrics.json": held.add(metrics)}),
    }
    return compare.Side(name, stages, held)


def sides(kind: str, labels: bytes) -> tuple[compare.Side, compare.Side]:
    """The gain is that of a file of ten tiles."""
    before = np.random.default_rng(1).uniform(20.0, 30.0, TILES)
    gain = np.repeat(np.random.default_rng(2).standard_normal(6), TILES // 6)
    return side("HEAD", before, kind, labels), side("workspace", before + gain, kind, labels)


FILES = npy(np.repeat(np.arange(6), TILES // 6))


def width(kind: str, labels: bytes) -> float:
    [row] = compare.compare(*sides(kind, labels))
    return row.high - row.low


@pytest.mark.parametrize("kind", ["images", "pairs"])
def test_tiles_are_resampled_by_file(kind):
    of_images = width("idx", FILES)  # where labels are digits
    assert width(kind, FILES) > 2 * of_images
    assert width(kind, npy(np.zeros(TILES))) == of_images


@pytest.mark.parametrize(
    ("kind", "labels", "said"),
    [
        ("idx", FILES, "images"),
        ("images", FILES, "6 files"),
        ("images", npy(np.zeros(TILES)), "60 tiles of 1 file"),
    ],
)
def test_the_table_says_what_was_resampled(kind, labels, said):
    given = sides(kind, labels)
    assert compare.resampled(*given) == said
    rows = compare.compare(*given)
    title = "95 % interval" if said == "images" else f"95 % interval over {said}"
    assert f"| {title} |" in compare.as_markdown(rows, "before", "now", said)
    assert title in compare.as_text(rows, "before", "now", said).splitlines()[0]


@pytest.mark.parametrize(("kind", "paired"), [("idx", True), ("images", False)])
def test_tiles_that_were_restored_alone_are_not_paired_with_those_of_whole_images(kind, paired):
    """Where each image is a tile, it makes no difference that older commits have no grids."""
    before, after = sides(kind, FILES)
    after.stages["evaluate@conv"].deps["data/clean/test_grids.npy"] = "2" * 32
    [row] = compare.compare(before, after)
    assert (row.low is not None) == paired


def test_without_the_files_there_is_no_interval():
    before, after = sides("images", FILES)
    del after.contents.contents[after.stages["figures@conv"].deps[LABELS]]
    [row] = compare.compare(before, after)
    assert (row.low, row.high) == (None, None)
    assert row.gain is not None
    assert compare.resampled(before, after) == "images"


def test_labels_that_are_no_array_are_bad_input():
    with pytest.raises(BadInput, match=r"test_labels\.npy of workspace is not a \.npy array"):
        compare.compare(*sides("images", b"no array"))
