"""The study's figures show what their tables hold."""

import io

import numpy as np
import pandas
import pytest
from matplotlib.figure import Figure

from domain_denoiser.evaluation import figures
from domain_denoiser.study import figures as study_figures


def png(figure: Figure) -> bytes:
    written = io.BytesIO()
    figures.save(figure, written)
    return written.getvalue()


@pytest.fixture
def levels() -> pandas.DataFrame:
    rows = [
        {"method": name, "sigma": sigma, "images": 9, "psnr_db": db - 8 * sigma, "low": db - 1, "high": db + 1}
        for name, db in (("noisy", 12.0), ("linear", 18.0), ("conv", 22.0))
        for sigma in (0.0, 0.5, 1.5)
    ]
    return pandas.DataFrame(rows)


@pytest.fixture
def gains() -> pandas.DataFrame:
    return pandas.DataFrame(
        [
            {"model": model, "domain": domain, "gain_over_noisy_db": 3.0, "gain_over_linear_db": -12.0}
            for model in ("conv", "conv_fashion")
            for domain in ("inverted", "digits", "upside_down")
        ]
    )


def test_every_method_has_a_line_of_its_own(levels):
    axes = study_figures.psnr_against_noise(levels, ["conv"]).axes[0]
    lines = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    assert list(lines) == ["conv", "noisy", "linear"]  # models first
    assert len({(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines.values()}) == 3
    assert lines["conv"].get_ydata().tolist() == [22.0, 18.0, 10.0]
    assert lines["conv"].get_linestyle() == "-"
    assert lines["linear"].get_linestyle() != "-"
    assert len(axes.collections) == 3  # the intervals


def test_every_field_of_the_heat_maps_has_its_number(gains):
    figure = study_figures.domains(gains, 0.5)
    over_noisy, over_linear = figure.axes
    assert [text.get_text() for text in over_noisy.texts] == ["+3.00"] * 6
    assert [text.get_text() for text in over_linear.texts] == ["-12.00"] * 6
    assert [tick.get_text() for tick in over_noisy.get_xticklabels()] == ["digits", "upside\ndown", "inverted"]
    assert [tick.get_text() for tick in over_noisy.get_yticklabels()] == ["conv", "conv fashion"]


def test_grid_has_a_row_a_name(digits):
    figure = study_figures.grid({"original": digits[:4], "conv": digits[4:8]}, "title")
    assert len(figure.axes) == 8
    assert figure.axes[4].get_ylabel() == "conv"
    assert np.array_equal(figure.axes[5].images[0].get_array(), digits[5])
    assert figure.axes[5].images[0].get_clim() == (0, 255)


def test_worst_names_the_psnr_of_each(digits):
    shown = (digits[:3], digits[3:6], digits[6:9], np.array([9.04, 10.0, 11.0]))
    figure = study_figures.worst({"plain": shown, "conv": shown}, "title")
    assert len(figure.axes) == 18
    assert [axes.get_title() for axes in figure.axes[:3]] == ["9.0 dB", "10.0 dB", "11.0 dB"]


def test_strongest_units_are_shown_first():
    weights = np.zeros((5, 28, 28))
    weights[3, 0, 0], weights[1, 0, 0] = 2.0, 1.0
    figure = study_figures.encoder_weights({"fixed": weights}, 4, "title")
    first, second = figure.axes[:2]
    assert first.images[0].get_array()[0, 0] == 2.0
    assert second.images[0].get_array()[0, 0] == 1.0
    assert len(figure.axes) == 4


@pytest.mark.parametrize("drawn", ["levels", "gains"])
def test_equal_tables_give_equal_bytes(drawn, levels, gains):
    draw = {
        "levels": lambda: study_figures.psnr_against_noise(levels, ["conv"]),
        "gains": lambda: study_figures.domains(gains, 0.5),
    }[drawn]
    assert png(draw()) == png(draw())
