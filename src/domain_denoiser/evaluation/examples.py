"""The test images that a model's figure shows, a column each: one of each digit or file, with its regime's noise."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from domain_denoiser import layout
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import images, noisy_sets
from domain_denoiser.evaluation import figures, wholes
from domain_denoiser.evaluation.figures import Whole
from domain_denoiser.evaluation.wholes import ALONE, Place, Restore
from domain_denoiser.params import Regime, Uniform

SHOWN = 10  # columns at most
LARGEST = 300  # pixels of a whole image's longer side: a column has about 100


class Column(NamedTuple):
    """A tile of a test image, and all tiles of that image."""

    place: Place
    sigma: float  # the noise level that is shown
    clean: np.ndarray  # as on disk: [n, H, W] or [n, 3, H, W]
    noisy: np.ndarray

    @property
    def at(self) -> int:
        """Which of them is shown."""
        return self.place.row * self.place.grid.columns + self.place.column


def columns(regime: Regime, size: tuple[int, int] | None) -> list[Column]:
    """The first test image of each digit or file, and the tile in its middle; of few files, tiles from all over them.

    size: of the images that the model takes, as `wholes.fitting` has it.
    Raises BadInput if the test images, their labels or their grids do not belong together.
    """
    clean, labels = images.mapped(layout.clean_images("test")), images.load_array(layout.clean_labels("test"))
    if labels.shape != clean.shape[:1]:
        raise BadInput(f"{layout.CLEAN} has test images {list(clean.shape)}, but labels {list(labels.shape)}")
    grids = wholes.fitting(wholes.load("test", len(clean)), size)
    places = [_middle(wholes.place(grids, tile)) for tile in figures.first_of_each(labels)[:SHOWN]]
    if len(places) < SHOWN:
        count = min(SHOWN, len(labels))
        places = [wholes.place(grids, index * len(labels) // count) for index in range(count)]
    low, high = (regime.low, regime.high) if isinstance(regime, Uniform) else (regime.sigma, regime.sigma)
    sigmas = figures.levels_shown(low, high, noisy_sets.load_levels(layout.NOISE_LEVELS), len(places))
    noisy = {sigma: images.mapped(layout.NOISE_LEVELS / noisy_sets.level_file("test", sigma)) for sigma in set(sigmas)}
    return [Column(place, sigma, clean[place.part], noisy[sigma][place.part]) for place, sigma in zip(places, sigmas)]


def _middle(place: Place) -> Place:
    """Another tile of the same image."""
    return place._replace(row=place.grid.rows // 2, column=place.grid.columns // 2)


def original(shown: Sequence[Column]) -> np.ndarray:
    """The clean tiles as on disk, [N, H, W] or [N, 3, H, W]."""
    return np.stack([column.clean[column.at] for column in shown])


def noisy(shown: Sequence[Column]) -> np.ndarray:
    """The noisy tiles as on disk, [N, H, W] or [N, 3, H, W]."""
    return np.stack([column.noisy[column.at] for column in shown])


@torch.inference_mode()
def restored(shown: Sequence[Column], restores: Sequence[Restore], device: torch.device) -> Tensor:
    """The tiles as they come out of whole images, float32 [N, C, H, W] in [0, 1].

    restores: what restores each column; the same where image and noise level are.
    """
    found = []
    pairs = zip(shown, restores, strict=True)
    for _, same in groupby(pairs, key=lambda pair: (pair[0].place.part.start, pair[0].sigma)):
        of_image = list(same)
        (column, restore), *_ = of_image
        tiles = wholes.restored(restore, images.to_float(column.noisy, device), column.place.grid)
        found += [tiles[column.at] for column, _ in of_image]
    return torch.stack(found)


def around(shown: Sequence[Column]) -> list[Whole] | None:
    """The clean images that the tiles are parts of, reduced for a figure; None if each is all of its image."""
    if all(column.place.grid == ALONE for column in shown):
        return None
    reduced = {column.place.part.start: _reduced(column) for column in shown}
    found = []
    for column in shown:
        image, times = reduced[column.place.part.start]
        height, width = (side / times for side in column.clean.shape[-2:])
        found.append(Whole(image, column.place.row * height, column.place.column * width, height, width))
    return found


def _reduced(column: Column) -> tuple[np.ndarray, int]:
    """The image of a tile, [H, W] or [3, H, W], of LARGEST pixels a side or some more, and how much smaller it is."""
    whole = wholes.joined(images.to_float(column.clean, "cpu"), column.place.grid)
    times = max(1, max(whole.shape[-2:]) // LARGEST)
    return images.stored(torch.nn.functional.avg_pool2d(whole, times), column.clean.dtype)[0], times
