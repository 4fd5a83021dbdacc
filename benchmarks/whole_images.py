"""What evaluating single tiles instead of whole images would do to the figures of a project of one's own images.

In such a project, after `make repro`, on the CPU: python benchmarks/whole_images.py [--model conv]
The noisy test tiles are restored one by one, and in their whole images, as the stage `evaluate` does.
"""

import argparse
from pathlib import Path

import measure
import torch

from domain_denoiser import layout, params
from domain_denoiser.core import compute, images, noisy_sets
from domain_denoiser.evaluation import wholes
from domain_denoiser.evaluation.per_image import evaluate
from domain_denoiser.evaluation.pieces import in_pieces
from domain_denoiser.evaluation.wholes import ALONE
from domain_denoiser.networks import architectures, stored


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--model", default="conv")
    folder = layout.MODELS / asked.parse_args().model
    compute.prepare(params.read(Path("params.yaml")).compute)
    network = in_pieces(stored.load(folder, "cpu"), architectures.reach(stored.load_settings(folder)))
    rows = []
    for sigma in noisy_sets.load_levels(layout.NOISE_LEVELS):
        paths = layout.clean_images("test"), layout.NOISE_LEVELS / noisy_sets.level_file("test", sigma)
        clean, noisy = (torch.from_numpy(array) for array in images.mapped_pair(*paths))
        grids = wholes.load("test", len(clean))
        apart, whole = (
            evaluate(network, noisy, clean, sigma, some)["psnr_db"].mean() for some in ([ALONE] * len(clean), grids)
        )
        rows.append([f"{sigma:g}", f"{apart:.2f}", f"{whole:.2f}", f"{whole - apart:+.2f}"])
    print(f"{len(grids):,} images, {len(clean):,} tiles; PSNR in dB, mean over tiles\n")
    print(measure.table("sigma | by tiles | as a whole | difference", rows))


if __name__ == "__main__":
    main()
