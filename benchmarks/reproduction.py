"""The whole `dvc repro` from an empty cache beside the post's own loop, and where its time goes: `make bench`."""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
EPOCHS = 3  # of the post's loop, before the pipeline and after it
REPEATS = 15  # of what takes a second at most
STARTS = 3  # of a command


def program(folder: Path, *words: str) -> float:
    """Seconds of a command of the environment in `folder`."""
    command = [str(PROGRAMS / words[0]), *words[1:]]
    return measure.seconds(lambda: subprocess.run(command, cwd=folder, check=True, capture_output=True))


def reproduce(folder: Path) -> tuple[float, dict[str, float], float]:
    """Seconds of running every stage, of each kind of stage, and of all epochs of training as the stages print them."""
    started = time.perf_counter()
    running = subprocess.Popen(
        [PROGRAMS / "dvc", "repro", "--force"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    stages, epochs, stage, since = {}, 0.0, "DVC itself", started
    split = params.read(folder / "params.yaml").data.split
    for line in running.stdout:
        if found := re.match(r"Running stage '(\w+)@?(\w*)", line):
            now = time.perf_counter()
            stages[stage] = stages.get(stage, 0.0) + now - since
            stage, since = found[1] + (" conv" if found[2] == "conv" else ""), now
        if found := re.search(r"epoch \d+/\d+, .* ([\d,]+) images/s", line):
            epochs += split.train / float(found[1].replace(",", ""))
    if running.wait():
        raise SystemExit("dvc repro failed")
    ended = time.perf_counter()
    stages[stage] = stages.get(stage, 0.0) + ended - since
    return ended - started, stages, epochs


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
            post = [measure.seconds(epoch) for _ in range(EPOCHS)]
            whole, stages, epochs = reproduce(folder)
            post += [measure.seconds(epoch) for _ in range(EPOCHS)]
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
            f"({each:.2f} s, the median of {EPOCHS} before and {EPOCHS} after), from start to end: those of the post's "
            f"three networks, {sum(read.models[name].epochs for name in MLPS)} epochs, {stages['train'] / each:.0f} "
            f"times, `conv` {stages['train conv'] / each:.0f} times."
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
