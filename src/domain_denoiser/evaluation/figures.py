"""Tables and images -> matplotlib figures.

One style for all: readable in print, a palette for colour-blind readers (Okabe & Ito 2008), and a marker for each
colour.
"""

from itertools import cycle
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from domain_denoiser.evaluation.baselines import NAMES, NOISY
from domain_denoiser.params import FILTERS

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GREYS = ("#333333", "#777777", "#aaaaaa")  # of filters
STYLES = ("--", "-.", ":")
PIXELS = 100  # of an image, to an inch
LARGEST_ERROR = 0.2  # the end of the residual's scale: its images are compared with each other


class Filtered(NamedTuple):
    """Images as the best filter restores them, and which one that is."""

    restored: np.ndarray  # float32 [N, H, W] or [N, 3, H, W]
    names: list[str]  # of the filter of each image


class Whole(NamedTuple):
    """The image that a column shows a part of."""

    image: np.ndarray  # of the type that it is stored in, [H, W] or [3, H, W]
    top: float  # of the part, in its pixels
    left: float
    height: float
    width: float


def examples(
    original: np.ndarray,
    noisy: np.ndarray,
    restored: np.ndarray,
    sigmas: list[float],
    title: str,
    filtered: Filtered | None,
    wholes: list[Whole] | None,
) -> Figure:
    """The post's figure: one column per image, with its noise level above; the scale is fixed to black ... white.

    original, noisy, restored: as they are stored; sigmas: N noise levels. filtered: what the best filter makes of them,
    if there is any: then there are two rows more, for it and for the residual, restored - original, which is red where
    the restored image is too bright. wholes: if the images are parts of larger ones, these are the first row, with a
    frame around the part.
    """
    rows = {"original": original, "noisy": noisy, "restored": restored}
    if filtered is not None:
        rows = {"original": original, "noisy": noisy, "best filter": filtered.restored, "restored": restored}
    above, count = int(wholes is not None), len(rows) + (filtered is not None) + (wholes is not None)
    side = max(1.0, original.shape[-1] / PIXELS)  # inches
    height = side * original.shape[-2] / original.shape[-1]
    figure = Figure(figsize=(side * len(sigmas), 0.7 + height * count), layout="constrained")
    axes = figure.subplots(count, len(sigmas), squeeze=False)
    if wholes is not None:
        axes[0, 0].set_ylabel("whole image", fontsize=11)
        for column, whole in enumerate(wholes):
            _show(axes[0, column], whole.image)
            # A pixel's edge lies half a pixel before its middle.
            frame = Rectangle((whole.left - 0.5, whole.top - 0.5), whole.width, whole.height, fill=False)
            frame.set(edgecolor=COLOURS[1], linewidth=1.5)
            axes[0, column].add_patch(frame)
    for row, (name, shown) in enumerate(rows.items(), above):
        axes[row, 0].set_ylabel(name, fontsize=11)
        for column, image in enumerate(shown):
            _show(axes[row, column], image)
    if filtered is not None:
        axes[count - 1, 0].set_ylabel(f"residual\n±{LARGEST_ERROR:g}", fontsize=11)
        for column, (mine, clean) in enumerate(zip(_in_unit(restored), _in_unit(original))):
            error = mine - clean if clean.ndim == 2 else (mine - clean).mean(0)
            axes[count - 1, column].imshow(
                error, cmap="RdBu_r", vmin=-LARGEST_ERROR, vmax=LARGEST_ERROR, interpolation="nearest"
            )
            axes[count - 1, column].set(xticks=[], yticks=[])
        for column, name in enumerate(filtered.names):
            axes[above + 2, column].set_xlabel(name.replace("_", " "), fontsize=7)
    for column, sigma in enumerate(sigmas):
        axes[0, column].set_title(f"σ = {sigma:g}", fontsize=9)
    figure.suptitle(title)
    return figure


def _show(axes: Axes, image: np.ndarray) -> None:
    """One image as it is stored, or float in [0, 1]: [H, W] or [3, H, W]."""
    white = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1.0
    if image.ndim == 3:
        axes.imshow(np.moveaxis(image / white, 0, -1), interpolation="nearest")
    else:
        axes.imshow(image, cmap="gray", vmin=0, vmax=white, interpolation="nearest")
    axes.set(xticks=[], yticks=[])


def _in_unit(stored: np.ndarray) -> np.ndarray:
    return stored / np.iinfo(stored.dtype).max


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
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    figure.suptitle(title)
    return figure


def psnr_against_noise(levels: pandas.DataFrame) -> Figure:
    """PSNR against the noise level, one line per model and baseline, from the columns of levels.csv.

    As the noise goes to zero, the PSNR of the noisy input grows without bound, and that of filters with it; therefore
    the axis ends just above the highest PSNR of a model, or of a filter where there is noise.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    models = list(dict.fromkeys(levels["model"]))
    at_noise = levels["model"].isin(FILTERS) & (levels["sigma"] > 0.0)
    highest = levels.loc[~levels["model"].isin(NAMES) | at_noise, "psnr_db"].max()
    looks = zip(cycle(COLOURS[-2:-1] + COLOURS), cycle(MARKERS))
    of_filters = zip(GREYS, STYLES)
    for model in models:
        rows = levels[levels["model"] == model]
        if model in FILTERS:
            grey, style = next(of_filters)
            axes.plot(rows["sigma"], rows["psnr_db"], color=grey, linestyle=style, label=model.replace("_", " "))
            continue
        colour, marker = next(looks)
        style = ":" if model == NOISY else "-"
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
    """The noise level of each of `images` columns: the levels in [low, high] in order; if none, the nearest to low.

    An image without noise is shown once at most, if there are other levels: there is little to see on it.
    """
    inside = [level for level in levels if low <= level <= high]
    if not inside:
        inside = [min(levels, key=lambda level: abs(level - low))]
    first = [0.0] if inside[0] == 0.0 and 1 < len(inside) < images else []
    rest, left = inside[len(first) :], images - len(first)
    return first + [rest[column * len(rest) // left] for column in range(left)]


def save(figure: Figure, to: Path | BinaryIO) -> None:
    """Write a PNG. Equal figures give equal bytes: the version of matplotlib is not in the file."""
    figure.savefig(to, format="png", dpi=110, metadata={"Software": None})
