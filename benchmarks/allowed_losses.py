"""What another seed may cost at each noise level, for gate.allowed_loss_db in params.yaml.

    PYTHONPATH=src python benchmarks/allowed_losses.py

The rule: the largest distance between the best and the worst seed of any model that reaches gate.floors_db, at the
level itself, or at the next ones below and above where the study did not measure it; rounded up to 0.01 dB, at least
0.1 dB.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import pandas

from domain_denoiser import params
from domain_denoiser.evaluation import summary

LEAST_DB = 0.1


def allowed_losses(spread: pandas.DataFrame, levels: list[float]) -> dict[str, float]:
    """Noise level -> dB. spread: columns model, sigma, spread_db, of the models that count."""
    largest = spread.groupby("sigma")["spread_db"].max()
    found = {}
    for level in levels:
        near = [largest.index[largest.index <= level].max(), largest.index[largest.index >= level].min()]
        found[str(level)] = max(LEAST_DB, math.ceil(round(largest[near].max() * 100, 6)) / 100)
    return found


def reaching(means: Mapping[str, Mapping[str, Mapping[str, float]]], floors_db: Mapping[str, float]) -> list[str]:
    """The models whose means over the test images reach the floors. means: of metrics.json."""
    return [
        name
        for name, levels in means.items()
        if all(sigma in levels and levels[sigma]["psnr_db"] >= floor for sigma, floor in floors_db.items())
    ]


def main() -> None:
    read = params.read(Path("params.yaml"))
    models = reaching(summary.parse(Path("reports/metrics.json").read_bytes(), "metrics.json"), read.gate.floors_db)
    spread = pandas.read_csv("reports/study/spread.csv")
    spread = spread[spread["model"].isin(models)]
    print(f"of {', '.join(models)}: {allowed_losses(spread, read.levels)}")


if __name__ == "__main__":
    main()
