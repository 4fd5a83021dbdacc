"""What grows with images and with runs, and what bounds it: the tables and the figure of docs/scale.md.

In a project with MNIST's images: python benchmarks/scaling.py [files] [runs] [rates] [--files 1000000] [--runs 1000]
Each part writes what it measures into docs/scale/; the tables are made from these files.
"""

import argparse
import csv
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import measure
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from restoring_scale import family, memory_mb

from domain_denoiser import Denoiser, layout, params
from domain_denoiser.base import atomic, checksum, plain_yaml, progress
from domain_denoiser.core import compute, images, noisy_sets
from domain_denoiser.core.seeds import generator
from domain_denoiser.evaluation import figures
from domain_denoiser.networks import architectures
from domain_denoiser.runs.cache import cache_folder
from domain_denoiser.training import loop
from domain_denoiser.training.initialisation import initialise

PAGE, MEASURED = Path("docs/scale.md"), Path("docs/scale")
DVC = str(Path(sys.executable).parent / "dvc")
DENOISE = (sys.executable, "-c", "from domain_denoiser.cli import main; main()")
STEPS = ("dvc add", "dvc status", "dvc push", "dvc add, one more image")
FIRST, AGAIN, PLAIN = "denoise sync --all-commits", "the same, with nothing new", "denoise sync, with nothing new"
COMPARE = "denoise compare HEAD~1"
FOLDERS = 1_000  # images in each
PART = 10_000  # images in memory
LOOK_S = 0.5  # between two looks at the memory, each of which takes some milliseconds
RATE = 0.002  # of `conv` in params.yaml
SAMPLE, TRAINED = 2_000, 2_560  # images whose restoring and storing, and whose training, are measured
SIGMA, MILLION, BILLION, BLOCK = 0.5, 10**6, 10**9, 4_096  # BLOCK: bytes that a file takes of the disk at least


class Taken(NamedTuple):
    """What a command on so many images or runs took. kind: files, array or runs."""

    kind: str
    count: int
    command: str
    seconds: float
    processor_s: float  # user and system, of the command and all that it started
    memory_mb: float  # at most, of all its processes together
    store_mb: float  # the listing of the folder, the array, or mlflow.db


def taken(folder: Path, *words: str) -> tuple[float, float, float]:
    """Seconds, processor seconds and memory in MB of a command in `folder`. Raises RuntimeError if it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    before, started, most = _processor_s(resource.RUSAGE_CHILDREN), time.perf_counter(), 0.0
    with tempfile.TemporaryFile() as said:
        running = subprocess.Popen(words, cwd=folder, env=environment, stdout=said, stderr=said)
        while running.poll() is None:
            most = max(most, memory_mb(family(running)))
            time.sleep(LOOK_S)
        seconds = time.perf_counter() - started
        if running.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(words)} ended with {running.returncode}: {said.read()[-2000:].decode()}")
    return seconds, _processor_s(resource.RUSAGE_CHILDREN) - before, most


def _processor_s(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def numbered(clean: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Images `start` to `stop`: those of `clean` again and again, each with its number in its first four pixels."""
    numbers = np.arange(start, stop, dtype="<u4")
    drawn = clean[numbers % len(clean)]
    drawn.reshape(len(drawn), -1)[:, :4] = numbers.view(np.uint8).reshape(-1, 4)
    return drawn


def parts(clean: np.ndarray, start: int, stop: int) -> Iterator[np.ndarray]:
    for first in range(start, stop, PART):
        yield numbered(clean, first, min(first + PART, stop))


def png(image: np.ndarray) -> bytes:
    opened = io.BytesIO()
    Image.fromarray(image).save(opened, "png", compress_level=1)
    return opened.getvalue()


def write_files(folder: Path, clean: np.ndarray, start: int, stop: int) -> None:
    for first, part in zip(range(start, stop, PART), parts(clean, start, stop)):
        for number, image in enumerate(part, first):
            place = folder / f"{number // FOLDERS:04}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number:07}.png").write_bytes(png(image))


def write_array(path: Path, clean: np.ndarray, start: int, stop: int) -> None:
    """All images up to `stop`: an array is written anew."""
    images.save_parts(path, stop, parts(clean, 0, stop))


def by_dvc(kind: str, name: str, count: int, write: Callable[[Path, int, int], None]) -> Iterator[Taken]:
    """What DVC takes for `count` images in `name`, in a project of its own, with a remote in a folder."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "project"
        root.mkdir()
        for words in (("git", "init", "-q"), (DVC, "init", "-q")):
            subprocess.run(words, cwd=root, check=True)
        shutil.copy(".dvc/config", root / ".dvc")  # the type of links, as this project has it
        remembered = f"{temporary}/site"  # what DVC remembers of files, else beside that of other projects
        for words in (("remote", "add", "-q", "-d", "r", "../remote"), ("config", "core.site_cache_dir", remembered)):
            subprocess.run([DVC, *words], cwd=root, check=True)
        write(root / name, 0, count)
        for step in STEPS:
            if step == STEPS[-1]:
                write(root / name, count, count + 1)
            words = (DVC, *step.partition(",")[0].split()[1:], *[name] * ("add" in step))
            took = taken(root, *words)
            md5 = plain_yaml.load((root / f"{name}.dvc").read_bytes())["outs"][0]["md5"]
            stored = root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
            yield Taken(kind, count, step, *took, stored.stat().st_size / 1e6)


def write_history(root: Path, count: int) -> None:
    """This project, and `count` commits after it: each has trained `conv` with another learning rate.

    Each has the history that such a training would write, and its hashes in dvc.lock. These weights are nowhere, as
    where another machine has them; those of the other models are in this project's cache of DVC.
    """
    root.mkdir()
    tree = subprocess.run(["git", "archive", "HEAD"], check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x"], cwd=root, input=tree, check=True)
    git = ("git", "-c", "user.name=benchmark", "-c", "user.email=benchmark@example.org")
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "The project")):
        subprocess.run([*git, *words], cwd=root, check=True)
    subprocess.run([DVC, "cache", "dir", "-q", "--local", cache_folder().parent.parent], cwd=root, check=True)
    lock, folder = (root / "dvc.lock").read_text(), layout.MODELS / "conv"
    outs = plain_yaml.load(lock.encode())["stages"]["train@conv"]["outs"]
    told = (root / folder / layout.HISTORY).read_text()
    set_rate = "learning_rate: {}\n".format
    stages = re.split(r"^(?=  \S)", lock, flags=re.MULTILINE)
    place = next(index for index, text in enumerate(stages) if text.startswith("  train@conv:"))
    before, _, after = (root / "params.yaml").read_text().rpartition(set_rate(RATE))
    stream = []
    for number in range(count):
        rate = round(0.001 + number * 1e-6, 6)
        history = f"{told}6,{round(0.01 + number * 1e-6, 6)},{told.splitlines()[-1].split(',', 2)[2]}\n"
        stage = stages[place].replace(set_rate(RATE), set_rate(rate))
        for out in outs:
            if not out["path"].endswith(layout.PLATFORM):
                content = history if out["path"].endswith(layout.HISTORY) else f"{out['path']} {number}"
                stage = stage.replace(out["md5"], checksum.md5(content.encode()))
        files = {
            "params.yaml": f"{before}{set_rate(rate)}{after}",
            "dvc.lock": "".join([*stages[:place], stage, *stages[place + 1 :]]),
            f"{folder}/{layout.HISTORY}": history,
        }
        stream.append(f"commit refs/heads/main\ncommitter benchmark <benchmark@example.org> {number} +0000\ndata 0\n")
        stream += ["from refs/heads/main^0\n"] * (number == 0)
        stream += [f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}\n" for path, text in files.items()]
    subprocess.run([*git, "fast-import", "--quiet"], cwd=root, input="".join(stream).encode(), check=True)
    subprocess.run([*git, "reset", "-q", "--hard"], cwd=root, check=True)


def by_mlflow(count: int) -> Iterator[Taken]:
    """What bringing `count` runs of history into MLflow takes."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "project"
        write_history(root, count)
        for name, words in (
            (FIRST, ("sync", "--all-commits")),
            (AGAIN, ("sync", "--all-commits")),
            (PLAIN, ("sync",)),
            (COMPARE, ("compare", "HEAD~1")),
        ):
            took = taken(root, *DENOISE, *words)
            yield Taken("runs", count, name, *took, (root / "mlflow.db").stat().st_size / 1e6)


def on_one_core(work: Callable[[], object], count: int) -> float:
    """Images a second of processor time; other programs on the machine cost it little."""
    work()  # the first time takes longer
    before = _processor_s(resource.RUSAGE_SELF)
    work()
    return count / (_processor_s(resource.RUSAGE_SELF) - before)


def training(read: params.Params, name: str, pair: loop.Images) -> Callable[[], object]:
    """Each call is one epoch of a model."""
    settings = read.models[name].model_copy(update={"epochs": 3})
    network = architectures.build(architectures.settings(settings.network, name))
    initialise(network, settings.initialisation, generator("cpu", read.seed, "initialisation"))
    val = loop.Images(*(given[: settings.batch_size] for given in pair))
    epochs = loop.fit(network, pair, val, read.noisy[settings.regime].root, settings, read.seed, None)
    return lambda: next(epochs)


def rates() -> dict[str, float]:
    """Bytes an image, and images a second of one core, by name."""
    read = params.read(Path("params.yaml"))
    compute.prepare(read.compute.model_copy(update={"threads": 1}))
    clean = images.load(layout.clean_images("test"))[:TRAINED]
    regime = params.Constant(law="constant", noise="gaussian", sigma=SIGMA)
    noisy = np.concatenate(list(noisy_sets.corrupt(clean, regime, read.seed, "scale").parts))
    denoiser, some = Denoiser.champion(threads=1), noisy[:SAMPLE]
    packed = [png(image) for image in some]
    pair = loop.Images(torch.from_numpy(clean), torch.from_numpy(noisy))

    def files() -> None:
        for content in packed:
            png(np.asarray(Image.open(io.BytesIO(content))))

    return {
        "clean PNG": float(np.mean([len(png(image)) for image in clean[:SAMPLE]])),
        "noisy PNG": float(np.mean([len(content) for content in packed])),
        "in an array": float(clean[0].nbytes),
        "restoring": on_one_core(lambda: denoiser(some), SAMPLE),
        "PNG": on_one_core(files, SAMPLE),
        "random": on_one_core(training(read, "random", pair), TRAINED),
        "conv": on_one_core(training(read, "conv", pair), TRAINED),
    }


def size(count: float) -> str:
    """Bytes in words: 784 GB."""
    for unit, name in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= unit:
            return f"{short(count / unit)} {name}"
    return f"{count:,.0f} bytes"


def short(number: float) -> str:
    """Three digits, or all before the point."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def slope(found: Iterable[Taken], command: str, field: str) -> float:
    """How much a run more takes, between the fewest and the most runs that were measured."""
    by_count = {each.count: getattr(each, field) for each in found if (each.kind, each.command) == ("runs", command)}
    few, many = min(by_count), max(by_count)
    return (by_count[many] - by_count[few]) / (many - few)


def largest(found: Iterable[Taken], kind: str, command: str) -> Taken:
    """What a command took for the most images or runs that it was measured on."""
    return max((each for each in found if (each.kind, each.command) == (kind, command)), key=lambda each: each.count)


def billion_rows(rated: Mapping[str, float], found: Iterable[Taken]) -> list[list[str]]:
    """A billion images of 28 x 28 pixels: what one image takes, times 10**9.

    rated: as `rates` gives it; found: with DVC's commands on files and on an array.
    """
    found = list(found)
    rows = [
        [name, size(rated[key]), size(rated[key] * BILLION), ""]
        for name, key in (
            ("one array, and each dataset with noise", "in an array"),
            ("clean PNGs", "clean PNG"),
            (f"noisy PNGs, sigma {SIGMA}", "noisy PNG"),
        )
    ]
    rows.insert(2, ["the same as files of their own, on the disk", size(BLOCK), size(BLOCK * BILLION), ""])
    for name, key in (
        ("restoring by the champion", "restoring"),
        ("reading and writing a PNG of each", "PNG"),
        ("an epoch of `random` (MLP)", "random"),
        ("an epoch of `conv`", "conv"),
    ):
        gpu = "" if key == "PNG" else "not measured"
        rows.append([name, f"{short(1e6 / rated[key])} µs", f"{short(BILLION / rated[key] / 3600)} core-hours", gpu])
    for kind, name in (("files", "`dvc add` of files of their own"), ("array", "`dvc add` of one array")):
        took = largest(found, kind, STEPS[0])
        each = took.processor_s / took.count
        rows.append([name, f"{short(each * 1e6)} µs", f"{short(each * BILLION / 3600)} core-hours", ""])
    added = largest(found, "files", STEPS[0])
    memory = added.memory_mb * 1e6 / added.count
    rows.append(["memory of that `dvc add` of files", size(memory), size(memory * BILLION), ""])
    return rows


def grown_rows(rated: Mapping[str, float], found: Iterable[Taken]) -> list[list[str]]:
    """What grows, what bounds it, and the lever."""
    found = list(found)
    files, array = (largest(found, kind, STEPS[0]) for kind in ("files", "array"))
    lacking, known = (slope(found, command, "processor_s") for command in (FIRST, AGAIN))
    counts = {each.count for each in found if each.kind == "runs"}
    between = f"between {min(counts):,} and {max(counts):,} runs"
    champion = sum(path.stat().st_size for path in layout.CHAMPION.iterdir())
    weights = next(
        out["size"]
        for out in plain_yaml.load(Path("dvc.lock").read_bytes())["stages"]["train@conv"]["outs"]
        if out["path"].endswith(layout.WEIGHTS)
    )
    return [
        [
            "images",
            f"DVC, if each is a file: {files.count:,} take {files.processor_s:,.0f} processor seconds and "
            f"{files.memory_mb:,.0f} MB to add; in one array {array.processor_s:,.1f} s and {array.memory_mb:,.0f} MB",
            "one array (below); restoring by Ray (above)",
        ],
        [
            "pixels of an image",
            f"the processor: one core restores {rated['restoring'] * rated['in an array'] / 1e6:,.2f} megapixels a "
            "second; not the memory",
            "tiles ([measured](performance.md#restoring): 100 megapixels); in training `data.tile` and `crop`",
        ],
        [
            "weights",
            f"git, for the champion: {size(champion)} of [4 MB](decisions/champion-in-git.md); DVC's cache, for each "
            f"run: {size(weights)} of `conv`",
            "`dvc gc`, which asks what to keep; `compute.workers` for the time",
        ],
        [
            "trials",
            f"reading history: `denoise sync --all-commits` takes {known:.2f} processor seconds for a run that MLflow "
            f"has, {lacking:.2f} for one that it lacks; mlflow.db: {slope(found, FIRST, 'store_mb') * 1e3:,.0f} kB a "
            f"run ({between})",
            "fewer commits with another dvc.lock (below)",
        ],
        [
            "people",
            f"the same: at {lacking:.2f} seconds each, {3600 / lacking:,.0f} runs of other people an hour",
            "one MLflow server ([team-server.md](team-server.md)), one DVC remote; equal work is one run",
        ],
    ]


def how_far(found: Iterable[Taken]) -> str:
    """Up to how many images it was measured, and what a million would take in proportion if that was fewer."""
    found = list(found)
    added, pushed = largest(found, "files", STEPS[0]), largest(found, "files", STEPS[2])
    said = f"Measured up to {added.count:,} images."
    if added.count >= MILLION:
        return said
    times = MILLION / added.count
    return (
        f"{said} In proportion, not tried: a million files would take {added.processor_s * times:,.0f} processor "
        f"seconds and {added.memory_mb * times:,.0f} MB to add, {pushed.processor_s * times:,.0f} processor seconds to "
        f"push, {size(BLOCK * MILLION)} of the disk three times; their listing would have "
        f"{size(added.store_mb * times * 1e6)}."
    )


def taken_rows(found: Iterable[Taken]) -> list[list[str]]:
    return [
        [
            f"`{each.command}`" if "," not in each.command else each.command,
            f"{each.count:,}",
            f"{each.seconds:,.1f}",
            f"{each.processor_s:,.1f}",
            f"{each.memory_mb:,.0f}",
            f"{each.store_mb:,.1f}",
        ]
        for each in found
    ]


def drawn(found: Iterable[Taken]) -> Figure:
    """Processor seconds against the number of images."""
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axes = figure.subplots()
    for kind, style in (("files", "-"), ("array", ":")):
        for step, colour, marker in zip(STEPS, figures.COLOURS, figures.MARKERS):
            mine = (each for each in found if (each.kind, each.command) == (kind, step))
            points = sorted((each.count, each.processor_s) for each in mine)
            label = f"{step}: {'a file each' if kind == 'files' else 'one array'}"
            axes.plot(*zip(*points), style, color=colour, marker=marker, label=label)
    axes.set(xscale="log", yscale="log", xlabel="images of 28 x 28 pixels", ylabel="processor seconds")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8)
    return figure


def read_taken(kinds: Iterable[str]) -> list[Taken]:
    found = []
    for name in kinds:
        with (MEASURED / f"{name}.csv").open(newline="") as opened:
            for row in csv.DictReader(opened):
                numbers = (float(row[field]) for field in Taken._fields[3:])
                found.append(Taken(row["kind"], int(row["count"]), row["command"], *numbers))
    return found


def write_taken(name: str, found: Iterable[Taken]) -> None:
    MEASURED.mkdir(exist_ok=True)
    with atomic.file(MEASURED / f"{name}.csv") as temporary, temporary.open("w", newline="") as opened:
        table = csv.writer(opened, lineterminator="\n")
        table.writerow(Taken._fields)
        table.writerows([*each[:3], *(round(number, 3) for number in each[3:])] for each in found)


def measure_files(most: int) -> None:
    clean = np.concatenate([images.load(layout.clean_images(split)) for split in ("test", "train")])
    found = []
    for count in sorted({min(10_000, most), min(100_000, most), most}):
        for kind, name, write in (("files", "images", write_files), ("array", "images.npy", write_array)):
            steps = by_dvc(kind, name, count, lambda path, *span, write=write: write(path, clean, *span))
            for each in progress.track(steps, len(STEPS), f"{count:,} images, {kind}", "commands"):
                found.append(each)
                write_taken("files", found)


def measure_runs(most: int) -> None:
    found = []
    for count in (most // 10, most):
        for each in progress.track(by_mlflow(count), 4, f"{count:,} runs", "commands"):
            found.append(each)
            write_taken("runs", found)


def measure_rates(_: int) -> None:
    MEASURED.mkdir(exist_ok=True)
    atomic.write_json(MEASURED / "rates.json", rates())


def write_tables() -> None:
    """All tables and the figure, of what was measured."""
    rated, found = json.loads((MEASURED / "rates.json").read_text()), read_taken(("files", "runs"))
    runs = [each for each in found if each.kind == "runs"]
    columns = "seconds | processor seconds | MB of memory"
    text = [
        measure.table(f"{name} | images | {columns} | {store}", taken_rows(each for each in found if each.kind == kind))
        for kind, name, store in (("files", "a file each", "MB of listing"), ("array", "one array", "MB of array"))
    ]
    text.insert(0, how_far(found))
    figures.save(drawn(found), MEASURED / "files.png")
    measure.keep(PAGE, "what grows", measure.table("what grows | what bounds it | lever", grown_rows(rated, found)))
    measure.keep(PAGE, "small files", "\n\n".join(text))
    measure.keep(PAGE, "many runs", measure.table(f"runs | number | {columns} | MB of mlflow.db", taken_rows(runs)))
    measure.keep(
        PAGE,
        "a billion images",
        measure.table("28 x 28 pixels | an image | a billion images | GPU-hours", billion_rows(rated, found)),
    )


def main() -> None:
    works = {"files": measure_files, "runs": measure_runs, "rates": measure_rates}
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("parts", nargs="*", help="what to measure; all by default")
    asked.add_argument("--files", type=int, default=MILLION, help="the most images")
    asked.add_argument("--runs", type=int, default=1_000, help="the most runs")
    given = asked.parse_args()
    if unknown := set(given.parts) - works.keys():
        asked.error(f"no part {', '.join(sorted(unknown))}: {', '.join(works)}")
    if given.runs < 10:
        asked.error("--runs wants ten at least, as a tenth of them is measured too")
    for name, work in works.items():
        if not given.parts or name in given.parts:
            work(given.runs if name == "runs" else given.files)
    if all((MEASURED / name).exists() for name in ("files.csv", "runs.csv", "rates.json")):
        write_tables()


if __name__ == "__main__":
    main()
