"""The whole `dvc repro` from an empty cache beside the post's own loop, and where its time goes: `make bench`."""

import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import measure
import post_loop
import torch

from domain_denoiser import params
from domain_denoiser.base import progress
from domain_denoiser.core import compute, images, noisy_sets
from domain_denoiser.evaluation import per_image
from domain_denoiser.evaluation.wholes import ALONE
from domain_denoiser.networks import stored

PROGRAMS = Path(sys.executable).parent
EVALUATE = "evaluate `{}`, PSNR and SSIM"
TEST_IMAGES = 10_000
MLPS = ("plain", "fixed", "random")  # what the post trains
EPOCHS = 3  # of the post's loop, after which it begins anew
PAUSE_EVERY = 20.0  # seconds of training, at least, from one epoch of the post's loop to the next
REPEATS = 15  # of what takes a second at most
STARTS = 3  # of a command


def program(folder: Path, *words: str) -> float:
    """Seconds of a command of the environment in `folder`."""
    command = [str(PROGRAMS / words[0]), *words[1:]]
    return measure.seconds(lambda: subprocess.run(command, cwd=folder, check=True, capture_output=True))


class Reproduction(NamedTuple):
    """What running every stage took, in seconds, the pauses left out."""

    whole: float
    stages: dict[str, float]  # of each kind of stage
    epochs: float  # of all epochs of training, as the stages print them
    post: list[float]  # of the post's loop, each epoch in a pause


@contextmanager
def stopped(group: int) -> Iterator[None]:
    """Every process of the group stands still."""
    os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(group, signal.SIGCONT)


def reproduce(folder: Path, epoch: Callable[[], None]) -> Reproduction:
    """Run every stage. While networks train, all is stopped now and then for an epoch of the post's loop, so that a
    busy minute of the machine falls on both alike.
    """
    split = params.read(folder / "params.yaml").data.split
    stages, epochs, stage, post = {}, 0.0, "DVC itself", []
    command = [PROGRAMS / "dvc", "repro", "--force"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, stdout=pipe, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as running:
        began = since = last = time.perf_counter()
        for line in running.stdout:
            now = time.perf_counter()
            if found := re.match(r"Running stage '(\w+)@?(\w*)", line):
                stages[stage] = stages.get(stage, 0.0) + now - since
                stage, since = found[1] + (" conv" if found[2] == "conv" else ""), now
            if found := re.search(r"epoch (\d+)/(\d+), .* ([\d,]+) images/s", line):
                epochs += split.train / float(found[3].replace(",", ""))
                # Not after the last epoch of a training: its end waits for tracking, but not for long.
                if found[1] != found[2] and now - last > PAUSE_EVERY:
                    with stopped(running.pid):
                        post.append(measure.seconds(epoch))
                    last = time.perf_counter()
                    began, since = began + last - now, since + last - now
                    epochs -= last - now  # the epoch that was stopped counts it
    if running.returncode:
        raise SystemExit("dvc repro failed")
    ended = time.perf_counter()
    stages[stage] = stages.get(stage, 0.0) + ended - since
    return Reproduction(ended - began, stages, epochs, post)


def rates(read: params.Params, folder: Path) -> dict[str, float]:
    """Images a second of what the stages do with images."""
    compute.prepare(read.compute)
    clean = images.load(folder / "data/clean/test_images.npy")
    given = images.load(folder / "data/noisy/test/test_0.5.npy")
    regime = params.Constant(law="constant", noise="gaussian", sigma=0.5)
    works = {"corrupt": lambda: list(noisy_sets.corrupt(clean, regime, 2018, "rate").parts)}
    for name in ("random", "conv"):
        network = stored.load(folder / "models" / name, "cpu")
        works[EVALUATE.format(name)] = lambda network=network: per_image.evaluate(
            network, torch.from_numpy(given), torch.from_numpy(clean), 0.5, [ALONE] * len(clean)
        )
    return {name: len(clean) / value for name, value in measure.interleaved(works, REPEATS).items()}


def restorations(folder: Path) -> list[list[str]]:
    """Seconds of `denoise restore`."""
    images.save(folder / "one.npy", images.load(folder / "data/noisy/test/test_0.5.npy")[:1])
    rows = []
    for model, count, source in (
        ("random", "10,000 images", "data/noisy/test/test_0.5.npy"),
        ("conv", "10,000 images", "data/noisy/test/test_0.5.npy"),
        ("conv", "one image", "one.npy"),
    ):
        words = ("denoise", "restore", "--model", model, source, "restored.npy")
        took = statistics.median(program(folder, *words) for _ in range(STARTS))
        rows.append([f"`denoise restore --model {model}`, {count}", f"{took:.1f} s"])
    return rows


def main() -> None:
    read = params.read(Path("params.yaml"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "clone"
        subprocess.run(["git", "clone", "--quiet", ".", folder], check=True)
        with post_loop.beside("fixed", read.compute.threads, workers=0, first=EPOCHS) as epoch:
            whole, stages, epochs, post = reproduce(folder, epoch)
        each = statistics.median(post)
        rows = [[name, f"{value:.1f}", f"{value / whole:.0%}"] for name, value in stages.items()]
        speeds = rates(read, folder)
        evaluated = len(noisy_sets.load_levels(folder / "data/noisy/test")) * TEST_IMAGES
        arithmetic = evaluated * (len(MLPS) / speeds[EVALUATE.format("random")] + 1 / speeds[EVALUATE.format("conv")])
        rest = whole - epochs - arithmetic
        rows.append(["**dvc repro**", f"**{whole:.1f}**", "100%"])
        rows.append(["of it: the epochs of all trainings", f"{epochs:.1f}", f"{epochs / whole:.0%}"])
        rows.append(["of it: what evaluating computes", f"{arithmetic:.1f}", f"{arithmetic / whole:.0%}"])
        rows.append(["of it: the rest", f"{rest:.1f}", f"{rest / whole:.0%}"])
        shares = measure.table("stage | s | share", rows)
        said = (
            f"`dvc repro --force` with an empty cache: {whole:.0f} s. The stages that train take "
            f"**{(stages['train'] + stages['train conv']) / each:.0f} times one epoch of the post's loop** "
            f"({each:.2f} s, the median of {len(post)}, for each of which all was stopped), from start to end: those "
            f"of the post's three networks, {sum(read.models[name].epochs for name in MLPS)} epochs, "
            f"{stages['train'] / each:.0f} times, `conv` {stages['train conv'] / each:.0f} times."
        )
        commands = progress.track(
            [("dvc", "repro"), ("dvc", "status"), ("denoise", "sync")],
            3,
            "commands that find nothing to do",
            "commands",
        )
        nothing = [
            [f"`{' '.join(words)}`", f"{statistics.median(program(folder, *words) for _ in range(STARTS)):.1f}"]
            for words in commands
        ]
        (folder / "mlflow.db").unlink()
        nothing.append(["`denoise sync` after `rm mlflow.db`", f"{program(folder, 'denoise', 'sync'):.1f}"])
        commanded = measure.table("nothing to do | s", nothing)
        rated = measure.table(
            "what | how fast",
            [[name, f"{speed:,.0f} images/s"] for name, speed in speeds.items()] + restorations(folder),
        )
        measure.keep_speeds("the whole pipeline", f"{said}\n\n{shares}\n\n{commanded}\n\n{rated}")


if __name__ == "__main__":
    main()
