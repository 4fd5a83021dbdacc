import io

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from domain_denoiser.evaluation import figures
from domain_denoiser.evaluation.figures import Filtered, Whole
from domain_denoiser.params import FILTERS

LEVELS = [0.0, 0.1, 0.25, 0.5, 0.75, 1.0]
HISTORY = pandas.DataFrame(
    {"epoch": [1, 2, 3], "train_loss": [0.3, 0.2, 0.1], "val_loss": [0.25, 0.2, 0.15], "val_psnr_db": [10.0, 12, 13]}
)
TABLE = pandas.DataFrame(
    [
        (model, sigma, base - sigma)
        for model, base in (("noisy", 90.0), ("plain", 20.0), ("fixed", 25.0))
        for sigma in LEVELS
    ],
    columns=["model", "sigma", "psnr_db"],
)


@pytest.fixture
def picture(digits):
    """The clean, noisy and restored images of four columns, and their figure."""
    shown = [digits[:4] // 2, digits[4:8] // 2, digits[8:12] // 2]  # no white pixel: a free scale would stretch them
    return shown, figures.examples(*shown, [0.1, 0.25, 0.5, 1.0], "fixed: original, noisy, restored", None, None)


def png(figure) -> bytes:
    content = io.BytesIO()
    figures.save(figure, content)
    return content.getvalue()


def test_digits_show_every_image_in_its_place_on_a_fixed_grey_scale(picture):
    shown, figure = picture
    assert len(figure.axes) == 12
    for row, images in enumerate(shown):
        for column, image in enumerate(images):
            (drawn,) = figure.axes[4 * row + column].get_images()
            np.testing.assert_array_equal(drawn.get_array(), image)
            assert drawn.get_clim() == (0, 255)
            assert drawn.get_cmap().name == "gray"


def test_digits_name_rows_and_noise_levels(picture):
    _, figure = picture
    assert [figure.axes[i].get_ylabel() for i in (0, 4, 8)] == ["original", "noisy", "restored"]
    assert [axes.get_title() for axes in figure.axes[:4]] == ["σ = 0.1", "σ = 0.25", "σ = 0.5", "σ = 1"]
    assert figure.get_suptitle() == "fixed: original, noisy, restored"


def test_a_single_column_is_a_figure_too(digits):
    assert len(figures.examples(digits[:1], digits[:1], digits[:1], [0.5], "one", None, None).axes) == 3


@pytest.fixture
def coloured():
    """Two colour images of 16 bits, [2, 3, 20, 24], and a figure of them beside filters."""
    original = np.random.default_rng(1).integers(10_000, 50_000, (2, 3, 20, 24)).astype(np.uint16)
    noisy, restored = original - 5_000, original + np.array([6_553, 13_107], np.uint16)[:, None, None, None]
    filtered = Filtered((noisy / 65_535).astype(np.float32), ["wavelet", "nonlocal_means"])
    return original, restored, figures.examples(original, noisy, restored, [0.1, 0.2], "cells", filtered, None)


def test_colour_is_shown_in_colour_on_a_fixed_scale(coloured):
    original, _, figure = coloured
    for column, image in enumerate(original):
        (drawn,) = figure.axes[column].get_images()
        np.testing.assert_allclose(drawn.get_array(), np.moveaxis(image / 65_535, 0, -1))


def test_beside_filters_there_are_the_best_of_them_and_a_signed_residual(coloured):
    _, _, figure = coloured
    names = [figure.axes[2 * row].get_ylabel() for row in range(5)]
    assert names == ["original", "noisy", "best filter", "restored", "residual\n±0.2"]
    assert [axes.get_xlabel() for axes in figure.axes[4:6]] == ["wavelet", "nonlocal means"]
    for axes, apart in zip(figure.axes[8:], (0.1, 0.2)):
        (drawn,) = axes.get_images()
        np.testing.assert_allclose(drawn.get_array(), np.full((20, 24), apart), atol=1e-4)
        assert drawn.get_clim() == (-0.2, 0.2)


def test_grey_of_16_bits_is_shown_from_black_to_white():
    image = np.arange(2 * 20 * 24, dtype=np.uint16).reshape(2, 20, 24)
    figure = figures.examples(image, image, image, [0.1, 0.2], "scans", None, None)
    (drawn,) = figure.axes[0].get_images()
    np.testing.assert_array_equal(drawn.get_array(), image[0])
    assert drawn.get_clim() == (0, 65_535)


def test_parts_of_larger_images_have_these_above_with_a_frame_where_they_lie():
    wholes = np.random.default_rng(1).integers(0, 255, (2, 3, 60, 96)).astype(np.uint8)
    at = [(0, 72), (40, 24)]
    parts = np.stack([whole[:, y : y + 20, x : x + 24] for whole, (y, x) in zip(wholes, at)])
    filtered = Filtered((parts / 255).astype(np.float32), ["wavelet", "wavelet"])
    placed = [Whole(whole, *place, 20, 24) for whole, place in zip(wholes, at)]
    figure = figures.examples(parts, parts, parts, [0.1, 0.2], "photos", filtered, placed)
    rows = ["whole image", "original", "noisy", "best filter", "restored", "residual\n±0.2"]
    assert [figure.axes[2 * row].get_ylabel() for row in range(6)] == rows
    assert [axes.get_xlabel() for axes in figure.axes[6:8]] == ["wavelet", "wavelet"]
    for axes, whole, part, (top, left) in zip(figure.axes, wholes, parts, at):
        (drawn,) = axes.get_images()
        np.testing.assert_allclose(drawn.get_array(), np.moveaxis(whole / 255, 0, -1))
        (frame,) = axes.patches
        assert (frame.get_x(), frame.get_y()) == (left - 0.5, top - 0.5)
        assert (frame.get_width(), frame.get_height()) == (part.shape[2], part.shape[1])


def lines(axes):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()}


def test_learning_curves_show_the_history():
    losses, quality = figures.learning_curves(HISTORY, "fixed: training").axes
    assert lines(losses) == {
        "training images": ([1, 2, 3], list(HISTORY["train_loss"])),
        "val images": ([1, 2, 3], list(HISTORY["val_loss"])),
    }
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in quality.get_lines()] == [
        ([1, 2, 3], list(HISTORY["val_psnr_db"]))
    ]
    assert quality.get_ylabel() == "val PSNR (dB)"
    assert losses.get_xlabel() == quality.get_xlabel() == "epoch"


@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_epochs_are_whole_numbers(epochs):
    history = pandas.DataFrame(
        {name: np.linspace(0.3, 0.1, epochs) for name in HISTORY} | {"epoch": range(1, epochs + 1)}
    )
    for axes in figures.learning_curves(history, "training").axes:
        ticks = axes.get_xticks()
        assert len(ticks) > 0
        np.testing.assert_array_equal(ticks, ticks.round())


def test_psnr_against_noise_has_a_line_a_model():
    (axes,) = figures.psnr_against_noise(TABLE).axes
    assert set(lines(axes)) == {"noisy", "plain", "fixed"}
    assert lines(axes)["fixed"] == (LEVELS, [25.0 - sigma for sigma in LEVELS])
    # The axis ends above the best restored image, not where the noisy input without noise would be.
    assert 25 < axes.get_ylim()[1] < 30
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["noisy", "plain", "fixed"]
    assert len({line.get_color() for line in axes.get_lines()}) == 3
    assert len({line.get_marker() for line in axes.get_lines()}) == 3


def test_filters_are_grey_lines_that_differ_and_take_no_colour_from_models():
    """However well a filter leaves images without noise as they are, the axis ends above the best model."""
    rows = [(name, sigma, 100.0 if sigma == 0.0 else 15.0) for name in FILTERS for sigma in LEVELS]
    beside = pandas.concat([TABLE[:6], pandas.DataFrame(rows, columns=TABLE.columns), TABLE[6:]])
    (alone,), (axes,) = figures.psnr_against_noise(TABLE).axes, figures.psnr_against_noise(beside).axes
    drawn, before = ({line.get_label(): line for line in of.get_lines()} for of in (axes, alone))
    assert list(drawn) == ["noisy", "nonlocal means", "wavelet", "total variation", "plain", "fixed"]
    for name, line in before.items():
        assert (drawn[name].get_color(), drawn[name].get_marker()) == (line.get_color(), line.get_marker())
    greys = [drawn[name.replace("_", " ")] for name in FILTERS]
    assert len({line.get_color() for line in greys}) == len({str(line.get_linestyle()) for line in greys}) == 3
    assert all(len({line.get_color()[1:][at : at + 2] for at in (0, 2, 4)}) == 1 for line in greys)
    assert axes.get_ylim() == alone.get_ylim()
    beside.loc[(beside["model"] == "wavelet") & (beside["sigma"] == 0.1), "psnr_db"] = 50.0  # better than the models
    assert 50 < figures.psnr_against_noise(beside).axes[0].get_ylim()[1] < 60


def test_however_many_models_each_has_a_line_that_tells_it_apart():
    names = ["noisy", *"abcdefghijklmno"]
    table = pandas.DataFrame([(name, sigma, 20.0) for name in names for sigma in LEVELS], columns=TABLE.columns)
    (axes,) = figures.psnr_against_noise(table).axes
    assert len({(line.get_color(), line.get_marker()) for line in axes.get_lines()}) == len(names)


@pytest.mark.parametrize(
    "draw",
    [
        lambda digits: figures.examples(digits[:3], digits[3:6], digits[6:9], [0.1, 0.5, 1.0], "digits", None, None),
        lambda digits: figures.learning_curves(HISTORY, "training"),
        lambda digits: figures.psnr_against_noise(TABLE),
    ],
    ids=["digits", "learning_curves", "psnr_against_noise"],
)
def test_equal_figures_are_equal_bytes_without_a_version(digits, draw):
    content = png(draw(digits))
    assert content == png(draw(digits))
    with Image.open(io.BytesIO(content)) as opened:
        assert "Software" not in opened.info
        assert len(np.unique(np.asarray(opened.convert("L")))) > 2


def test_first_of_each_digit(sample):
    labels = sample[1].labels
    chosen = figures.first_of_each(labels)
    assert [int(labels[i]) for i in chosen] == list(range(10))
    assert all(label not in labels[:i] for i, label in zip(chosen, range(10)))


def test_first_of_each_digit_that_occurs():
    assert figures.first_of_each(np.array([7, 7, 1, 7, 1], np.uint8)) == [2, 0]


def test_levels_of_a_range_come_in_turn():
    assert figures.levels_shown(0.0, 1.0, LEVELS, 6) == LEVELS
    assert figures.levels_shown(0.2, 0.8, LEVELS, 6) == [0.25, 0.25, 0.5, 0.5, 0.75, 0.75]
    assert figures.levels_shown(0.5, 0.5, LEVELS, 3) == [0.5, 0.5, 0.5]


def test_an_image_without_noise_is_shown_once():
    assert figures.levels_shown(0.0, 0.5, [0.0, 0.1, 0.5], 5) == [0.0, 0.1, 0.1, 0.5, 0.5]
    assert figures.levels_shown(0.0, 0.0, [0.0, 0.1], 3) == [0.0, 0.0, 0.0]


def test_without_a_level_in_the_range_the_nearest_one_is_shown():
    assert figures.levels_shown(0.3, 0.3, LEVELS, 2) == [0.25, 0.25]
    assert figures.levels_shown(0.9, 0.95, LEVELS, 1) == [1.0]


@given(
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    levels=st.lists(st.floats(0, 1), min_size=1, max_size=8, unique=True).map(sorted),
    columns=st.integers(1, 12),
)
def test_levels_shown_ascend_and_are_evenly_used(ends, levels, columns):
    shown = figures.levels_shown(*ends, levels, columns)
    assert len(shown) == columns
    assert set(shown) <= set(levels)
    assert shown == sorted(shown)
    inside = [level for level in levels if ends[0] <= level <= ends[1]]
    assert not inside or set(shown) <= set(inside)
    assert shown.count(0.0) <= 1 or set(shown) == {0.0}
    counts = [shown.count(level) for level in set(shown) - {0.0}] or [0]
    assert max(counts) - min(counts) <= 1
