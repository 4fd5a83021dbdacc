"""Arrays of every layout and type; large ones in tiles; which champion there is."""

import subprocess
import sys
from pathlib import Path

import domain_profiles
import graph_files
import numpy as np
import pytest
import torch

from domain_denoiser import Denoiser
from domain_denoiser.base.errors import BadInput
from domain_denoiser.domain.statistics import sums
from domain_denoiser.networks import exporting
from domain_denoiser.runtime import tiles

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(2018)


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    return Denoiser(graph_files.negative(), "here", 1)


@pytest.mark.parametrize(
    "shape", [(5, 7), (5, 7, 3), (5, 7, 1), (2, 5, 7), (2, 5, 7, 1), (2, 5, 7, 3), (2, 1, 5, 7), (2, 3, 5, 7)]
)
@pytest.mark.parametrize("dtype,white", [("bool", 1), ("uint8", 255), ("uint16", 65535), ("<f4", 1), (">f8", 1)])
def test_an_array_keeps_shape_and_type(denoiser, shape, dtype, white):
    drawn = RNG.random(shape)
    given = drawn.astype(dtype) if "f" in dtype else (drawn * white).round().astype(dtype)
    before = given.copy()
    restored = denoiser(given)
    assert (restored.shape, restored.dtype) == (given.shape, np.dtype(dtype))
    np.testing.assert_allclose(restored.astype(float), white - given.astype(float), atol=1e-6)
    np.testing.assert_array_equal(given, before)


def test_a_range_and_inverted_images(denoiser):
    given = np.linspace(-10, 30, 28, dtype=np.float32).reshape(4, 7)
    np.testing.assert_allclose(denoiser(given, value_range=(-10, 30)), 20 - given, atol=1e-5)
    darker = Denoiser(graph_files.darker(), "here", 1)
    np.testing.assert_allclose(darker(given, value_range=(-10, 30)), (given + 10) / 2 - 10, atol=1e-5)
    np.testing.assert_allclose(darker(given, value_range=(-10, 30), invert=True), 30 - (30 - given) / 2, atol=1e-5)
    np.testing.assert_array_equal(darker([[0.0, 1.0]]), [[0.0, 0.5]])
    with pytest.raises(BadInput, match="value_range is 1,0, but LOW must be less"):
        denoiser(given, value_range=(1, 0))
    with pytest.raises(BadInput, match="value_range is for floats"):
        denoiser(np.zeros((5, 5), np.uint8), value_range=(0, 255))


def test_foreign_images_are_told_in_words(denoiser, digits):
    profile = domain_profiles.of(digits[:100], domain_profiles.negative)
    knows = Denoiser(graph_files.negative(profile=profile), "here", 1)
    noisy = domain_profiles.with_noise(np.stack([digits[100], 255 - digits[100]]), 0.3, 1)
    first, second = knows.foreign(noisy)
    assert first is None
    assert second.startswith("brightness of the ") and second.endswith(" expected")
    assert knows.foreign(noisy, invert=True)[1] is None
    assert denoiser.foreign(noisy) == [None, None]


@pytest.mark.parametrize(
    "array,wanted",
    [
        (np.zeros(3), "has the shape"),
        (np.zeros((0, 5, 5)), "holds no image"),
        (np.zeros((2, 5, 7, 2)), "is wanted"),
        (np.zeros((5, 7), np.int64), "holds int64 values"),
        (np.full((5, 7), 1.5), r"lie in \[0, 1\]"),
        (np.full((5, 7), np.nan), "NaN or infinite"),
    ],
    ids=str,
)
def test_other_arrays_are_refused(denoiser, array, wanted):
    with pytest.raises(BadInput, match=f"^the array .*{wanted}"):
        denoiser(array)


def test_images_of_another_size_than_the_model_are_refused():
    denoiser = Denoiser(graph_files.negative((28, 28)), "models/fixed", 1)
    assert denoiser.size == (28, 28)
    assert denoiser(np.zeros((28, 28), np.uint8)).min() == 255
    with pytest.raises(BadInput, match="the images have 29 x 28 pixels, but models/fixed takes 28 x 28"):
        denoiser(np.zeros((28, 29), np.uint8))


@pytest.mark.mnist
@pytest.mark.parametrize("channels", [1, 3])
def test_a_large_image_by_the_champion_is_equal_in_tiles(monkeypatch, channels):
    champion = Denoiser.load(ROOT / "champion/model.onnx", 2)
    noisy = RNG.random((150, 211, channels), dtype=np.float32)
    whole = champion(noisy)
    monkeypatch.setattr(tiles, "SIDE", 32)
    shapes, original = [], Denoiser._piece
    monkeypatch.setattr(
        Denoiser, "_piece", lambda self, some, *rest: shapes.append(some.shape) or original(self, some, *rest)
    )
    in_tiles = champion(noisy)
    assert len(shapes) == 5 * 7
    assert max(max(shape[1:3]) for shape in shapes) <= 32 + 2 * 44
    assert np.abs(in_tiles - noisy).max() > 0
    assert np.abs(in_tiles - whole).max() <= 1e-5


@pytest.fixture(scope="module")
def exported(colour_network, colour_settings) -> bytes:
    return exporting.exported(colour_network, colour_settings)


@pytest.fixture
def colour(exported) -> Denoiser:
    return Denoiser(exported, "here", 1)


def by_torch(network: torch.nn.Module, noisy: np.ndarray) -> np.ndarray:
    """float32 [N, H, W, 3] in [0, 1], to the same."""
    with torch.inference_mode():
        restored = network(torch.from_numpy(noisy.transpose(0, 3, 1, 2).copy())).clamp(0.0, 1.0)
    return restored.numpy().transpose(0, 2, 3, 1)


@pytest.mark.parametrize("dtype,white", [("uint8", 255), ("uint16", 65535), ("<f4", 1), (">f8", 1)])
def test_a_network_for_colour_restores_channels_together(colour_network, colour, dtype, white):
    """In floats as exactly as ONNX Runtime computes; whole numbers to within a rounding."""
    drawn = RNG.random((2, 27, 34, 3)) * white
    given = drawn.astype(dtype) if "f" in dtype else drawn.round().astype(dtype)
    expected = by_torch(colour_network, (given / white).astype(np.float32)) * white
    restored = colour(given)
    assert (restored.shape, restored.dtype) == (given.shape, np.dtype(dtype))
    within = 1e-5 * white if "f" in dtype else 0.5 + 1e-5 * white
    assert np.abs(restored - expected).max() <= within
    channels_first = np.ascontiguousarray(given.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(colour(channels_first).transpose(0, 2, 3, 1), restored)
    one = colour(given[0])
    assert np.abs(one.astype(float) - restored[0]).max() <= (1e-5 * white if "f" in dtype else 1)
    inverted = white - by_torch(colour_network, (1.0 - given / white).astype(np.float32)) * white
    assert np.abs(colour(given, invert=True) - inverted).max() <= within


@pytest.mark.parametrize("shape", [(27, 34), (2, 27, 34), (2, 27, 34, 1), (2, 1, 27, 34)], ids=str)
@pytest.mark.parametrize("dtype,white", [("uint16", 65535), ("<f4", 1)])
def test_a_grey_image_goes_through_a_network_for_colour_as_three_channels(colour_network, colour, shape, dtype, white):
    given = (RNG.random(shape) * white).astype(dtype)
    three = np.repeat((given / white).astype(np.float32).reshape(-1, 27, 34, 1), 3, axis=-1)
    expected = by_torch(colour_network, three).mean(-1).reshape(shape) * white
    restored = colour(given)
    assert (restored.shape, restored.dtype) == (given.shape, given.dtype)
    assert np.abs(restored - expected).max() <= 1e-5 * white + (white > 1) / 2
    assert np.abs(by_torch(colour_network, three).std(-1)).max() > 1e-3  # what comes out of the network is not grey


@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_by_a_network_for_colour_are_equal_and_their_sums_those_of_the_image(colour, monkeypatch, channels):
    noisy, found = RNG.random((2, 90, 130, channels), dtype=np.float32), []
    colour.profile = Kept(found)
    whole = colour(noisy)
    planes = [np.moveaxis(each, -1, 1)[:, 0] if channels == 1 else np.moveaxis(each, -1, 1) for each in (noisy, whole)]
    np.testing.assert_allclose(found[0], sums(*planes), rtol=1e-6)
    monkeypatch.setattr(tiles, "SIDE", 24)
    pieces, original = [], Denoiser._piece
    monkeypatch.setattr(Denoiser, "_piece", lambda self, *given: pieces.append(1) or original(self, *given))
    in_tiles = colour(noisy)
    assert len(pieces) == 2 * 4 * 6
    assert np.abs(in_tiles - whole).max() <= 1e-5
    np.testing.assert_allclose(found[1][:, :4], found[0][:, :4], rtol=1e-4)
    assert found[1][0, 0] == 90 * 130 * channels


class Kept:
    """A profile that keeps the sums that it is asked about."""

    def __init__(self, found: list[np.ndarray]) -> None:
        self._found = found

    def findings(self, added: np.ndarray) -> list[None]:
        self._found.append(added)
        return [None] * len(added)


def test_a_network_for_grey_restores_the_channels_of_colour_one_by_one():
    denoiser = Denoiser(graph_files.darker(), "here", 1)
    noisy = RNG.random((2, 9, 7, 3), dtype=np.float32)
    together = denoiser(noisy)
    assert denoiser.channels == 1
    for channel in range(3):
        np.testing.assert_array_equal(together[..., channel], denoiser(noisy[..., channel]))


def test_a_large_image_is_refused_where_a_graph_says_no_reach():
    with pytest.raises(BadInput, match="does not say how far its network looks"):
        Denoiser(graph_files.negative(reach=None), "here", 1)(np.zeros((4097, 4096), bool))


@pytest.mark.parametrize("reach", [("x", "4"), ("4", "0"), ("-1", "4"), ("99999", "4")])
def test_a_reach_that_is_none_is_refused(reach):
    with pytest.raises(BadInput, match="here says .* of itself"):
        Denoiser(graph_files.negative(reach=reach), "here", 1)


@pytest.mark.mnist
def test_any_number_of_threads_gives_the_same_bytes():
    noisy = RNG.random((3, 61, 75), dtype=np.float32)
    restored = [Denoiser.load(ROOT / "champion/model.onnx", threads)(noisy).tobytes() for threads in (1, 2, 3)]
    assert len(set(restored)) == 1


@pytest.mark.mnist
def test_the_champion_of_the_project_around_and_none_outside(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT / "docs")
    assert Denoiser.champion(1).size is None
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="has no champion yet"):
        Denoiser.champion(1)


@pytest.mark.mnist
def test_what_uses_a_denoiser_imports_nothing_large():
    program = (
        "import sys, numpy; from domain_denoiser import Denoiser\n"
        f"Denoiser.load({str(ROOT / 'champion/model.onnx')!r})(numpy.zeros((9, 9)))\n"
        "print(*sorted({'torch', 'onnx', 'pydantic', 'dvc', 'mlflow', 'scipy', 'pandas'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
