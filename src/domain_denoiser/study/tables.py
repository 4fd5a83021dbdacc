"""The small tables of the study: means with intervals, differences, the spread between seeds."""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas

from domain_denoiser import layout
from domain_denoiser.base import atomic
from domain_denoiser.evaluation.intervals import Difference, paired_difference

FOLDER = layout.STUDY_REPORTS


def save(table: pandas.DataFrame, path: Path) -> None:
    """Write a CSV file; equal tables give equal bytes. Nine digits identify every float32."""
    with atomic.file(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")


def by_level(table: pandas.DataFrame) -> dict[float, np.ndarray]:
    """{noise level: PSNR of each image in dB, float64 [N]} of a per-image table."""
    return {
        float(sigma): rows.sort_values("image")["psnr_db"].to_numpy(float) for sigma, rows in table.groupby("sigma")
    }


def mean(values: np.ndarray, seed: int) -> Difference:
    """A mean over images and its bootstrap interval."""
    return paired_difference(np.zeros_like(values), values, seed)


def levels(tables: Mapping[str, pandas.DataFrame], seed: int) -> pandas.DataFrame:
    """One row per method and noise level: the mean PSNR over images in dB, and its 95 % interval."""
    rows = []
    for method, table in tables.items():
        for sigma, psnr_db in by_level(table).items():
            psnr = mean(psnr_db, seed)
            rows.append(
                {
                    "method": method,
                    "sigma": sigma,
                    "images": len(psnr_db),
                    "psnr_db": psnr.mean,
                    "low": psnr.low,
                    "high": psnr.high,
                }
            )
    return pandas.DataFrame(rows)


def spread(seeds: pandas.DataFrame) -> pandas.DataFrame:
    """One row per model and noise level: number of seeds, and mean, minimum, maximum and range of their PSNR in dB.

    seeds: columns model, seed, sigma, psnr_db.
    """
    grouped = seeds.groupby(["model", "sigma"], sort=False)["psnr_db"]
    found = grouped.agg(seeds="count", psnr_db="mean", lowest="min", highest="max").reset_index()
    return found.assign(spread_db=found["highest"] - found["lowest"])


def differences(
    tables: Mapping[str, pandas.DataFrame], spreads: Mapping[tuple[str, float], float], seed: int
) -> pandas.DataFrame:
    """One row per pair of methods and noise level: mean PSNR of `method` minus `than` in dB, 95 % interval, verdict.

    spreads: the difference between the best and the worst seed of a model at a noise level, in dB. The verdict is
    `noise` if the interval contains zero, or if the difference is smaller than the larger of the two spreads; else
    `better` or `worse`.
    """
    values = {name: by_level(table) for name, table in tables.items()}
    rows = []
    for than, method in combinations(values, 2):
        for sigma in values[than]:
            found = paired_difference(values[than][sigma], values[method][sigma], seed)
            between_seeds = max(spreads.get((name, sigma), 0.0) for name in (than, method))
            rows.append(
                {
                    "method": method,
                    "than": than,
                    "sigma": sigma,
                    "images": len(values[than][sigma]),
                    "difference_db": found.mean,
                    "low": found.low,
                    "high": found.high,
                    "spread_db": between_seeds,
                    "verdict": verdict(found, between_seeds),
                }
            )
    return pandas.DataFrame(rows)


def verdict(found: Difference, spread_db: float) -> str:
    """`noise`, `better` or `worse`; see `differences`."""
    if found.low <= 0.0 <= found.high or abs(found.mean) < spread_db:
        return "noise"
    return "better" if found.mean > 0.0 else "worse"
