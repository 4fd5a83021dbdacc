"""What evaluating tiles, in place of whole images, does to the figures of a project of one's own images.

In such a project, after `make repro`, on the CPU: python benchmarks/whole_images.py [--model conv]
The noisy test tiles of each image are restored one by one, and joined as one image; the errors are of the same pixels.
"""

import argparse
from collections.abc import Sequence
from itertools import groupby, product
from pathlib import Path

import measure
import numpy as np
import torch

from domain_denoiser import layout, params
from domain_denoiser.core import compute, images, noisy_sets
from domain_denoiser.core.metrics import psnr_db
from domain_denoiser.data import folders
from domain_denoiser.data.folders import Tile
from domain_denoiser.networks import stored

BATCH = 16  # tiles


def joined(tiles: np.ndarray, places: Sequence[Tile]) -> np.ndarray:
    """The tiles of one image, [n, H, W] or [n, 3, H, W], as one: [1, rows * H, columns * W] or [1, 3, ...].

    Raises ValueError if tiles of its grid are missing, as `data.most` leaves out some.
    """
    height, width = tiles.shape[-2:]
    tops, lefts = ({getattr(place, side) for place in places} for side in ("top", "left"))
    tops, lefts = range(min(tops), max(tops) + 1, height), range(min(lefts), max(lefts) + 1, width)
    if [(place.top, place.left) for place in places] != list(product(tops, lefts)):
        raise ValueError(f"{places[0].file} has no whole grid of tiles")
    starts = range(0, len(tiles), len(lefts))
    rows = [np.concatenate(tiles[start : start + len(lefts)], axis=-1) for start in starts]
    return np.concatenate(rows, axis=-2)[None]


@torch.inference_mode()
def squared_error(network: torch.nn.Module, noisy: np.ndarray, clean: np.ndarray) -> float:
    """Its mean over all values, of the restored images clipped to [0, 1]."""
    parts = [slice(start, start + BATCH) for start in range(0, len(noisy), BATCH)]
    errors = [
        (network(images.to_float(noisy[part], "cpu")).clamp(0.0, 1.0) - images.to_float(clean[part], "cpu")).square()
        for part in parts
    ]
    return float(torch.cat(errors).mean())


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--model", default="conv")
    model = asked.parse_args().model
    read = params.read(Path("params.yaml"))
    compute.prepare(read.compute)
    network = stored.load(layout.MODELS / model, torch.device("cpu"))
    places = folders.cut(Path(read.data.origin), read.data, read.seed)["test"].tiles
    clean, levels = images.mapped(layout.clean_images("test")), noisy_sets.load_levels(layout.NOISE_LEVELS)
    rows, start = [], 0
    for (name, number), group in groupby(places, key=lambda tile: (tile.file, tile.image)):
        of_image = list(group)
        part, start = slice(start, start + len(of_image)), start + len(of_image)
        for sigma in levels:
            noisy = images.mapped(layout.NOISE_LEVELS / noisy_sets.level_file("test", sigma))[part]
            apart = squared_error(network, noisy, clean[part])
            whole = squared_error(network, joined(noisy, of_image), joined(clean[part], of_image))
            in_db = [float(psnr_db(torch.tensor(error, dtype=torch.float64))) for error in (apart, whole)]
            rows.append(
                [f"{name}, {number}", str(len(of_image)), f"{sigma}", *(f"{value:.2f}" for value in in_db)]
                + [f"{in_db[1] - in_db[0]:+.2f}"]
            )
    print(measure.table("test image | tiles | sigma | by tiles, dB | as a whole, dB | difference", rows))


if __name__ == "__main__":
    main()
