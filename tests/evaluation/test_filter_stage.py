"""The stage `filter` itself, on colour images of 16 bits and on pairs."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pipeline import CHECKOUT, of_images
from ruamel.yaml import YAML
from skimage import data as skimage_data

from domain_denoiser import layout
from domain_denoiser.base import atomic
from domain_denoiser.core import images, noisy_sets
from domain_denoiser.evaluation import tables
from domain_denoiser.params import Constant

STRENGTHS = [0.1, 0.7, 3.0]
COUNTS = {"val": 30, "gate": 3, "test": 5}
GRIDS = {"val": [(2, 3), (4, 1), (1, 20)], "gate": [(1, 1)] * 3, "test": [(1, 1), (2, 2)]}


def project(folder: Path, committed: dict, monkeypatch: pytest.MonkeyPatch) -> dict:
    """A project of colour images of 16 bits here, without noise; returns what its params.yaml is to hold."""
    monkeypatch.chdir(folder)
    values = copy.deepcopy(committed)
    of_images(values)
    values["filters"] = {"nonlocal_means": STRENGTHS}
    photo = np.moveaxis(skimage_data.astronaut(), -1, 0).astype(np.uint16) * 257
    drawn = np.random.default_rng(1)
    for split, count in COUNTS.items():
        places = drawn.integers(0, 512 - 32, (count, 2))
        tiles = np.stack([photo[:, y : y + 32, x : x + 32] for y, x in places])
        images.save(layout.clean_images(split), tiles)
    for split, grids in GRIDS.items():
        images.save(layout.grids(split), np.array(grids, np.uint32))
    return values


def with_noise(split: str, sigma: float) -> np.ndarray:
    law = Constant(law="constant", noise="gaussian", sigma=sigma)
    return np.concatenate(
        list(noisy_sets.corrupt(images.load(layout.clean_images(split)), law, 1, "levels", split).parts)
    )


def noise_levels(law: dict, sigmas: list[float]) -> None:
    for split in ("gate", "test"):
        for sigma in sigmas:
            images.save(layout.NOISE_LEVELS / noisy_sets.level_file(split, sigma), with_noise(split, sigma))
    atomic.write_json(layout.NOISE_LEVELS / noisy_sets.LAW, law)


def run(values: dict) -> dict[Path, bytes]:
    """What the stage writes."""
    YAML().dump(values, Path("params.yaml"))
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT / "src")}
    command = [sys.executable, CHECKOUT / "stages/filter.py", "nonlocal_means"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    name = "nonlocal_means"
    return {path: path.read_bytes() for path in (layout.table(name), layout.filtered(name), layout.strength(name))}


def check(written: dict[Path, bytes], sigmas: list[float]) -> None:
    table, gate, strength = written
    assert json.loads(written[strength]) == {"strength": 0.7}
    for path, split in ((table, "test"), (gate, "gate")):
        found = tables.load(path)
        assert [(row.sigma, row.image) for row in found.itertuples()] == [
            (sigma, image) for sigma in sigmas for image in range(COUNTS[split])
        ]
        at_noise = found[found["sigma"] == 0.1]["psnr_db"]
        assert at_noise.mean() > 22.0  # of the noisy images 20


def test_tables_of_test_and_gate_images_at_every_level(tmp_path, committed, monkeypatch):
    values = project(tmp_path, committed, monkeypatch)
    noise_levels(values["noisy"]["test"], [0.0, 0.1])
    written = run(values)
    check(written, [0.0, 0.1])
    values["compute"]["threads"] = 3 - values["compute"]["threads"]
    assert run(values) == written


def test_pairs_are_calibrated_on_their_own_noise(tmp_path, committed, monkeypatch):
    values = project(tmp_path, committed, monkeypatch)
    given = {"law": "given", "sigma": 0.1}
    values["data"]["kind"] = "pairs"
    values["noisy"] = {"paired": given, "test": dict(given)}
    values["models"]["small"] |= {"regime": "paired", "noise": "frozen"}
    values["gate"]["allowed_loss_db"] = {"0.1": 0.2}
    noise_levels(given, [0.1])
    images.save(layout.given_noisy("val"), with_noise("val", 0.1))
    check(run(values), [0.1])
