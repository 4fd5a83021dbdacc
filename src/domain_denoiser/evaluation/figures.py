"""Tables and images -> matplotlib figures.

One style for all: readable in print, a palette for colour-blind readers (Okabe & Ito 2008), and a marker for each
colour.
"""

from itertools import cycle
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
ROWS = ("original", "noisy", "restored")


def digits(original: np.ndarray, noisy: np.ndarray, restored: np.ndarray, sigmas: list[float], title: str) -> Figure:
    """The post's figure: one column per digit, with its noise level above; the grey scale is fixed to 0 ... 255.

    original, noisy, restored: uint8 [N, 28, 28]; sigmas: N noise levels.
    """
    figure = Figure(figsize=(len(sigmas), 3.7), layout="constrained")
    axes = figure.subplots(3, len(sigmas), squeeze=False)
    for row, (name, shown) in enumerate(zip(ROWS, (original, noisy, restored))):
        axes[row, 0].set_ylabel(name, fontsize=11)
        for column, image in enumerate(shown):
            axes[row, column].imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes[row, column].set(xticks=[], yticks=[])
    for column, sigma in enumerate(sigmas):
        axes[0, column].set_title(f"σ = {sigma:g}", fontsize=9)
    figure.suptitle(title)
    return figure


def learning_curves(history: pandas.DataFrame, title: str) -> Figure:
    """Losses and val PSNR against the epoch, from the columns of history.csv."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    losses, quality = figure.subplots(1, 2)
    for column, name, colour, style in (
        ("train_loss", "training images", COLOURS[0], "--"),
        ("val_loss", "val images", COLOURS[1], "-"),
    ):
        losses.plot(history["epoch"], history[column], style, color=colour, label=name)
    losses.set(xlabel="epoch", ylabel="mean squared error", yscale="log")
    losses.legend(frameon=False)
    quality.plot(history["epoch"], history["val_psnr_db"], color=COLOURS[1])
    quality.set(xlabel="epoch", ylabel="val PSNR (dB)")
    for axes in (losses, quality):
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    return figure


def psnr_against_noise(levels: pandas.DataFrame) -> Figure:
    """PSNR against the noise level, one line per model, from the columns of levels.csv.

    As the noise goes to zero, the PSNR of the noisy input grows without bound; therefore the axis ends just above the
    highest PSNR of a model.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    models = list(dict.fromkeys(levels["model"]))
    highest = levels.loc[levels["model"] != "noisy", "psnr_db"].max()
    for model, colour, marker in zip(models, cycle(COLOURS[-2:-1] + COLOURS), cycle(MARKERS)):
        rows = levels[levels["model"] == model]
        style = ":" if model == "noisy" else "-"
        axes.plot(rows["sigma"], rows["psnr_db"], style, color=colour, marker=marker, label=model)
    axes.set(
        xlabel="noise level σ (standard deviation, pixels in [0, 1])",
        ylabel="PSNR (dB), mean over the test images",
        ylim=(0, highest * 1.08),
        title="How well each model restores",
    )
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def first_of_each(labels: np.ndarray) -> list[int]:
    """The index of the first image of each digit that occurs, in ascending order of the digits. labels: uint8 [N]."""
    return [int(np.flatnonzero(labels == digit)[0]) for digit in np.unique(labels)]


def levels_shown(low: float, high: float, levels: list[float], images: int) -> list[float]:
    """The noise level of each of `images` columns: the levels in [low, high] in order; if none, the nearest to low."""
    inside = [level for level in levels if low <= level <= high]
    if not inside:
        inside = [min(levels, key=lambda level: abs(level - low))]
    return [inside[column * len(inside) // images] for column in range(images)]


def save(figure: Figure, to: Path | BinaryIO) -> None:
    """Write a PNG. Equal figures give equal bytes: the version of matplotlib is not in the file."""
    figure.savefig(to, format="png", dpi=110, metadata={"Software": None})
