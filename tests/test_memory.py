"""How much memory a project of one's own images takes is bounded by params.yaml, not by the folder."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pipeline import Pipeline, clean_environment, clone, of_images

SIDE = 768  # pixels
FILES = 12  # 7 MB of pixels, from which more tiles are cut than params.yaml wants
SIZES = (FILES, 4 * FILES, 16 * FILES)
GROWTH_MB = 25.0  # allocators and threads differ by a few; all pixels of the largest folder are 113
STAGES = {
    "download": ("stages/download.py",),
    "corrupt wide": ("stages/corrupt.py", "wide"),
    "corrupt test": ("stages/corrupt.py", "test"),
    "train": ("stages/train.py", "small"),
    "evaluate": ("stages/evaluate.py", "small"),
}


def peak_mb(project: Pipeline, *words: str) -> float:
    """Of the anonymous memory of a Python program: what is mapped from files is the machine's to take back."""
    most = 0
    with subprocess.Popen(
        [sys.executable, *words], cwd=project.root, env=clean_environment(project.root, real=True)
    ) as running:
        status = Path(f"/proc/{running.pid}/status")
        while running.poll() is None:
            for line in status.read_text().splitlines():
                if line.startswith("RssAnon"):
                    most = max(most, int(line.split()[1]))
            time.sleep(0.005)
    assert running.returncode == 0
    return most / 1000


@pytest.mark.services
def test_memory_is_bounded_by_params(tmp_path: Path):
    project, drawn, there = clone(tmp_path / "a clone"), np.random.default_rng(1), 0
    project.params(of_images)
    folder = project.root / "data/images"
    folder.mkdir()
    peaks: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for size in SIZES:
        for name in range(there, size):
            pixels = drawn.integers(0, 256, (SIDE, SIDE), np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}.png", compress_level=1)
        there = size
        for stage, words in STAGES.items():
            peaks[stage].append(peak_mb(project, *words))
    assert {stage: found for stage, found in peaks.items() if max(found) > found[0] + GROWTH_MB} == {}
