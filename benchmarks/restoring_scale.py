"""What restoring many images by Ray takes beside one process, killed twice on its way: docs/scale.md.

In a project with MNIST's images: python benchmarks/restoring_scale.py [--images 100000] [--workers 2] [--keep]
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import measure
import numpy as np
import psutil
from PIL import Image

from domain_denoiser import layout
from domain_denoiser.base import progress

PAGE = Path("docs/scale.md")
SIGMA, SEED = 0.5, 2018
FOLDERS = 1_000  # images in each
KILLS = (1 / 3, 2 / 3)  # shares of the images that the manifest has when it is killed
LOOK_S, MEMORY_S = 0.02, 0.5  # between two looks at the manifest, and at the memory, which takes longer


def write_digits(folder: Path, count: int) -> None:
    """PNGs of MNIST's test and training images, again and again, each with a noise of its own."""
    clean = np.concatenate([np.load(layout.clean_images(name), mmap_mode="r") for name in ("test", "train")])
    drawn = np.random.default_rng(SEED)
    for number in progress.track(range(count), count, "writing", "digits"):
        noisy = clean[number % len(clean)] / 255 + drawn.normal(0.0, SIGMA, clean.shape[1:])
        place = folder / f"{number // FOLDERS:04}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((noisy.clip(0, 1) * 255).round().astype(np.uint8)).save(place / f"{number:07}.png")


def family(running: subprocess.Popen) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
    return []


def memory_mb(processes: list[psutil.Process]) -> float:
    """Of all of them together; what they share is counted once each, in parts (PSS)."""
    total = 0
    for process in processes:
        with suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total / 1e6


def outputs(folder: Path) -> Iterator[Path]:
    return folder.rglob("*.png")


def told(out: Path) -> int:
    """How many lines the manifest has."""
    manifest = Path(f"{out}.manifest.jsonl")
    return manifest.read_bytes().count(b"\n") if manifest.exists() else 0


def run(words: list[str], out: Path, until: int | None) -> tuple[float, float]:
    """Seconds and the most memory in MB of a `denoise restore`, which is killed when it has told of `until` images."""
    command = [sys.executable, "-c", "from domain_denoiser.cli import main; main()", "restore", *words]
    started, most, looked = time.perf_counter(), 0.0, 0.0
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while running.poll() is None:
        if time.perf_counter() - looked > MEMORY_S:
            processes = family(running)
            most, looked = max(most, memory_mb(processes)), time.perf_counter()
        if until is not None and told(out) >= until:
            others = family(running)[1:]
            running.kill()
            running.wait()
            psutil.wait_procs(others)
        time.sleep(LOOK_S)
    if until is None and running.returncode:
        raise RuntimeError(f"denoise restore ended with {running.returncode}")
    if until is not None and not running.returncode:
        raise RuntimeError("it came to its end before it was killed: take more images")
    return time.perf_counter() - started, most


def hashes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in outputs(folder)}


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--images", type=int, default=100_000)
    asked.add_argument("--workers", type=int, default=2)
    asked.add_argument("--keep", action="store_true", help=f"write the figures into {PAGE}")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        noisy, plain, whole, killed = (folder / name for name in ("noisy", "plain", "whole", "killed"))
        write_digits(noisy, given.images)
        by_ray = ["--ray", "local", "--workers", str(given.workers)]
        rows = []
        for name, words, out in (
            ("one process, one thread", ["--threads", "1"], plain),
            (f"{given.workers} processes of Ray", by_ray, whole),
        ):
            seconds, most = run([*words, str(noisy), str(out)], out, None)
            rows.append([name, f"{seconds:,.0f} s", f"{given.images / seconds:,.0f}", f"{most:,.0f} MB"])
        parts = [
            run(["--skip-existing", *by_ray, str(noisy), str(killed)], killed, until)
            for until in (*(int(share * given.images) for share in KILLS), None)
        ]
        seconds, most = sum(part for part, _ in parts), max(memory for _, memory in parts)
        rows.append(
            [
                f"the same, killed {len(KILLS)} times and started again",
                f"{seconds:,.0f} s",
                f"{given.images / seconds:,.0f}",
                f"{most:,.0f} MB",
            ]
        )
        expected = hashes(plain)
        lines = [json.loads(line) for line in Path(f"{killed}.manifest.jsonl").read_text().splitlines()]
        written = {str(Path(line["output"]).relative_to(killed)): line["sha256"] for line in lines}
        equal = len(expected) == given.images == len(lines) and expected == hashes(whole) == hashes(killed) == written
        left = [path for path in killed.rglob("*") if path.is_file() and path.suffix != ".png"]
    if not equal or left:
        raise RuntimeError(f"the outputs differ, or are not each there and in the manifest once; left over: {left}")
    said = (
        f"{given.images:,} noisy digits as PNGs of 28 x 28 pixels, start-up included. All three gave the same bytes; "
        f"the manifest of the last has {len(lines):,} lines, one for each output, and nothing was left over."
    )
    text = f"{measure.table('restoring | time | images/s | memory of all processes', rows)}\n\n{said}"
    if given.keep:
        measure.keep(PAGE, "restoring at scale", text)
    else:
        print(text)


if __name__ == "__main__":
    main()
