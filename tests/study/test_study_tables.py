"""The small tables: means, differences, spread, verdicts."""

import numpy as np
import pandas
import pytest

from domain_denoiser.evaluation.intervals import Difference
from domain_denoiser.study import tables as study_tables


def table(psnr_db: np.ndarray, sigma: float = 0.5) -> pandas.DataFrame:
    return pandas.DataFrame({"sigma": sigma, "image": range(len(psnr_db)), "psnr_db": psnr_db})


def test_levels_have_mean_and_interval():
    values = np.random.default_rng(1).normal(20.0, 2.0, 400)
    row = study_tables.levels({"conv": table(values)}, 1).iloc[0]
    assert row["psnr_db"] == pytest.approx(values.mean())
    assert row["low"] < row["psnr_db"] < row["high"]
    # A normal distribution: 1.96 standard errors to either side.
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * values.std() / 20.0, rel=0.15)


def test_images_are_paired_by_number():
    values = np.linspace(10.0, 20.0, 50)
    shuffled = table(values + 0.5).sample(frac=1.0, random_state=1)
    row = study_tables.differences({"a": table(values), "b": shuffled}, {}, 1).iloc[0]
    assert (row["method"], row["than"], row["verdict"]) == ("b", "a", "better")
    assert row["low"] == pytest.approx(0.5)
    assert row["high"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("found", "spread_db", "wanted"),
    [
        (Difference(0.5, 0.4, 0.6), 0.0, "better"),
        (Difference(-0.5, -0.6, -0.4), 0.0, "worse"),
        (Difference(0.1, -0.1, 0.3), 0.0, "noise"),
        (Difference(0.5, 0.4, 0.6), 0.6, "noise"),
        (Difference(-0.5, -0.6, -0.4), 0.6, "noise"),
        (Difference(0.0, 0.0, 0.0), 0.0, "noise"),
    ],
)
def test_verdict(found, spread_db, wanted):
    assert study_tables.verdict(found, spread_db) == wanted


def test_spread_is_from_the_worst_to_the_best_seed():
    seeds = pandas.DataFrame(
        {"model": "fixed", "seed": [1, 2, 3], "sigma": 0.5, "psnr_db": [19.8, 19.9, 19.6]},
    )
    row = study_tables.spread(seeds).iloc[0]
    assert (row["seeds"], row["lowest"], row["highest"]) == (3, 19.6, 19.9)
    assert row["spread_db"] == pytest.approx(0.3)


def test_a_difference_smaller_than_the_spread_of_either_is_noise():
    values = np.linspace(10.0, 20.0, 50)
    made = {"a": table(values), "b": table(values + 0.5)}
    assert study_tables.differences(made, {("a", 0.5): 0.6}, 1).iloc[0]["verdict"] == "noise"
    assert study_tables.differences(made, {("b", 0.5): 0.6}, 1).iloc[0]["verdict"] == "noise"
    assert study_tables.differences(made, {("b", 0.1): 0.6}, 1).iloc[0]["verdict"] == "better"


def test_equal_tables_give_equal_bytes(tmp_path):
    for name in ("a.csv", "b.csv"):
        study_tables.save(table(np.array([1 / 3, 2.0])), tmp_path / name)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
