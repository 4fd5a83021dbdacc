"""Tables and images of the study -> matplotlib figures, in the style of evaluation/figures.py. Saves nothing."""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from domain_denoiser.evaluation.figures import COLOURS, MARKERS

STYLES = ("-", "--", "-.", ":")
ORDER = ("digits", "upside_down", "letters", "fashion", "inverted")
BRIGHTEST_DB = 8.0  # the end of the colour scale, so that smaller gains differ in colour
MAP = "PuOr"  # two hues that are safe for colour-blind readers, white at zero


def psnr_against_noise(levels: pandas.DataFrame, models: list[str]) -> Figure:
    """Mean PSNR against the noise level, with 95 % intervals: models as solid lines, other methods as broken lines.

    levels: the columns of tables.levels. The dotted line marks the highest noise level in training.
    """
    figure = Figure(figsize=(8.4, 6.2), layout="constrained")
    axes = figure.subplots()
    methods = [*models, *(name for name in dict.fromkeys(levels["method"]) if name not in models)]
    best = levels.loc[(levels["method"] != "noisy") & (levels["sigma"] > 0.0), "high"].max()
    for number, (method, colour, marker) in enumerate(zip(methods, cycle(COLOURS[:-1]), cycle(MARKERS))):
        rows = levels[levels["method"] == method]
        model = method in models
        axes.fill_between(rows["sigma"], rows["low"], rows["high"], color=colour, alpha=0.25, linewidth=0)
        axes.plot(
            rows["sigma"],
            rows["psnr_db"],
            "-" if model else STYLES[1 + number % 3],
            color=colour,
            marker=marker,
            markersize=5 if model else 4,
            markerfacecolor=colour if model else "white",
            linewidth=1.8 if model else 1.0,
            label=method.replace("_", " "),
        )
    axes.axvline(1.0, color="black", linewidth=0.8, linestyle=":")
    axes.annotate("beyond training", (1.015, 0.97), xycoords=("data", "axes fraction"), va="top", fontsize=9)
    axes.set(
        xlabel="noise level σ (standard deviation, pixels in [0, 1])",
        ylabel="PSNR (dB), mean over images, 95 % interval",
        ylim=(4.0, best * 1.05),
        title="How well each method restores",
    )
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", frameon=False, ncols=4, fontsize=9)
    return figure


def grid(rows: Mapping[str, np.ndarray], title: str) -> Figure:
    """One row of images per name, uint8 [N, H, W]; the grey scale is fixed to 0 ... 255."""
    columns = max(len(images) for images in rows.values())
    figure = Figure(figsize=(0.85 * columns + 1.1, 0.87 * len(rows) + 0.4), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.0, hspace=0.0)
    table = figure.subplots(len(rows), columns, squeeze=False)
    for axes, (name, images) in zip(table, rows.items()):
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=11)
        for place, image in zip(axes, images):
            place.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        for place in axes:
            place.set(xticks=[], yticks=[])
    figure.suptitle(title, fontsize=12)
    return figure


def worst(models: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]], title: str) -> Figure:
    """The digits that each model restores worst, the worst first: original, noisy, restored, with the PSNR above.

    models: name -> original, noisy, restored uint8 [N, H, W] and PSNR in dB [N].
    """
    columns = len(next(iter(models.values()))[0])
    figure = Figure(figsize=(0.85 * columns + 1.2, 2.85 * len(models)), layout="constrained")
    figure.suptitle(title, fontsize=12)
    for part, (name, (*images, psnr_db)) in zip(np.atleast_1d(figure.subfigures(len(models))), models.items()):
        table = part.subplots(3, columns, squeeze=False)
        for axes, shown, row in zip(table, images, ("original", "noisy", name)):
            axes[0].set_ylabel(row, rotation=0, ha="right", va="center", fontsize=10)
            for place, image in zip(axes, shown):
                place.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
                place.set(xticks=[], yticks=[])
        for place, value in zip(table[0], psnr_db):
            place.set_title(f"{value:.1f} dB", fontsize=8)
    return figure


def domains(table: pandas.DataFrame, sigma: float) -> Figure:
    """Two heat maps, models by domains: the PSNR gain over the noisy input, and over the linear denoiser.

    table: columns model, domain, gain_over_noisy_db, gain_over_linear_db.
    """
    models, names = (list(dict.fromkeys(table[column])) for column in ("model", "domain"))
    names.sort(key=ORDER.index)
    figure = Figure(figsize=(11, 0.5 * len(models) + 2.2), layout="constrained")
    for axes, than, title in zip(
        figure.subplots(1, 2),
        ("noisy", "linear"),
        ("over the noisy input", "over linear regression fitted to that domain"),
    ):
        gain = table.pivot(index="model", columns="domain", values=f"gain_over_{than}_db").loc[models, names]
        _heat(axes, gain)
        axes.set_title(title, fontsize=11)
    figure.suptitle(f"Own domain only: gain in PSNR (dB) at σ = {sigma:g}; colours end at ±{BRIGHTEST_DB:g} dB")
    return figure


def _heat(axes: Axes, gain: pandas.DataFrame) -> None:
    """Draw one heat map, with the number in each cell, so that it is readable without colours."""
    axes.imshow(gain, cmap=MAP, vmin=-BRIGHTEST_DB, vmax=BRIGHTEST_DB, aspect="auto")
    axes.set_xticks(range(gain.shape[1]), [name.replace("_", "\n") for name in gain.columns])
    axes.set_yticks(range(gain.shape[0]), [name.replace("_", " ") for name in gain.index])
    for row in range(gain.shape[0]):
        for column in range(gain.shape[1]):
            value = gain.iat[row, column]
            dark = abs(value) > 0.6 * BRIGHTEST_DB
            axes.text(column, row, f"{value:+.2f}", ha="center", va="center", color="white" if dark else "black")


def encoder_weights(weights: Mapping[str, np.ndarray], shown: int, title: str) -> Figure:
    """The weights of hidden units as images: purple where light excites a unit, orange where it inhibits it.

    weights: name -> [hidden, 28, 28]. It shows the `shown` units with the largest norm, each with its own scale.
    """
    columns = int(np.ceil(np.sqrt(shown)))
    figure = Figure(figsize=(3.6 * len(weights), 4.1), layout="constrained")
    figure.suptitle(title, fontsize=12)
    for part, (name, units) in zip(np.atleast_1d(figure.subfigures(1, len(weights))), weights.items()):
        part.suptitle(name, fontsize=11)
        order = np.argsort(-np.linalg.norm(units.reshape(len(units), -1), axis=1), kind="stable")[:shown]
        for place in part.subplots(columns, columns).ravel():
            place.set_axis_off()
        for place, unit in zip(part.axes, order):
            limit = float(np.abs(units[unit]).max())
            place.imshow(units[unit], cmap=MAP, vmin=-limit, vmax=limit, interpolation="nearest")
    return figure
