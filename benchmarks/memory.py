"""How much memory each stage takes, and how that grows with the number of images: `make bench`."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure
import numpy as np
from ruamel.yaml import YAML

from domain_denoiser.base import progress

STAGES = (
    "download.py",
    "corrupt.py random",
    "corrupt.py test",
    "train.py random",
    "train.py conv",
    "evaluate.py random",
    "evaluate.py conv",
    "evaluate.py noisy",
    "recognise.py conv",
    "summarise.py",
    "figures.py conv",
)
MODELS = ("random", "conv")  # the only ones here
GROWN = ("corrupt.py random", "train.py random")


def peak(folder: Path, *words: str) -> tuple[float, float, float]:
    """Of a Python program in `folder`: the most memory of its own in MB, the most of mapped files in MB, and seconds.

    What is mapped from files is the machine's to take back.
    """
    environment = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"} | {"PYTHONPATH": "src"}
    started, own, mapped = time.perf_counter(), 0, 0
    running = subprocess.Popen([sys.executable, *words], cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    while running.poll() is None:
        try:
            status = Path(f"/proc/{running.pid}/status").read_text()
        except FileNotFoundError:
            break
        found = dict(line.split(":", 1) for line in status.splitlines())
        if "RssAnon" in found:
            own = max(own, int(found["RssAnon"].split()[0]))
            mapped = max(mapped, int(found["RssFile"].split()[0]))
        time.sleep(0.02)
    if running.wait():
        raise SystemExit(f"{' '.join(words)} failed")
    return own / 1000, mapped / 1000, time.perf_counter() - started


def two_epochs(folder: Path) -> None:
    """Two models, and not whole trainings, show what they take."""
    yaml, path = YAML(), folder / "params.yaml"
    values = yaml.load(path)
    for name in set(values["models"]) - set(MODELS):
        del values["models"][name]
    for model in values["models"].values():
        model["epochs"] = 2
    yaml.dump(values, path)


def grow(folder: Path, times: int) -> None:
    """Repeat the training images, clean and noisy."""
    for path in (folder / "data/clean/train_images.npy", folder / "data/noisy/random/train.npy"):
        once = np.load(path)[:50_000]
        grown = np.lib.format.open_memmap(path, mode="w+", dtype=once.dtype, shape=(times * len(once), 28, 28))
        for i in range(times):
            grown[i * len(once) : (i + 1) * len(once)] = once
        grown.flush()


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "clone"
        subprocess.run(["git", "clone", "--quiet", ".", folder], check=True)
        two_epochs(folder)
        torch_alone = peak(folder, "-c", "import torch")
        rows = [["`import torch` alone", f"{torch_alone[0]:.0f}", "", f"{torch_alone[1]:.0f}"]]
        for stage in progress.track(STAGES, len(STAGES), "memory", "stages"):
            script, *words = stage.split()
            own, mapped, _ = peak(folder, f"stages/{script}", *words)
            rows.append([f"`{stage}`", f"{own:.0f}", f"{own - torch_alone[0]:.0f}", f"{mapped:.0f}"])
        stages = measure.table("stage | MB of its own | above torch | MB of mapped files", rows)
        rows = []
        for times in progress.track((1, 4, 16), 3, "growth", "sizes"):
            grow(folder, times)
            for stage in GROWN:
                script, *words = stage.split()
                own, mapped, seconds = peak(folder, f"stages/{script}", *words)
                rows.append([f"`{stage}`, {times}x", f"{own:.0f}", f"{mapped:.0f}", f"{seconds:.1f}"])
        growth = measure.table(
            "training images (1x: 50,000), two epochs | MB of its own | MB of mapped files | s", rows
        )
    measure.keep_speeds("memory", f"{stages}\n\n{growth}")


if __name__ == "__main__":
    main()
