"""Does `denoise verify --quick` name the file in which one bit was flipped, wherever it is?

Flips random bits in a copy of a finished project, one at a time, with mode, size, inode and time stamps kept.
"""

import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from domain_denoiser.base import progress
from domain_denoiser.base.errors import BadInput, one_sentence
from domain_denoiser.operations.verify import check

LEFT_OUT = (".venv", "mlflow.db", "mlartifacts", "node_modules", "__pycache__", "tmp")
KINDS = {
    "raw data": "data/clean/*.npy",
    "noisy data": "data/noisy/*/*",
    "weights": "models/*/model.safetensors",
    "history": "models/*/history.csv",
    "per-image tables": "reports/evaluation/*.csv",
    "metrics": "reports/metrics.json",
    "cache objects": ".dvc/cache/files/md5/*/*",
}


def main(
    flips: Annotated[int, typer.Option(min=1, help="How many bits are flipped in files of each kind.")] = 100,
    seed: Annotated[int, typer.Option(help="Which ones.")] = 2018,
    project: Annotated[Path | None, typer.Option(help="Copied; without one, the tests' small one is made.")] = None,
) -> None:
    draw, found = random.Random(seed), dict.fromkeys(KINDS, 0)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "project")
        if project is None:
            make(copy)
        else:
            shutil.copytree(project, copy, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
        os.chdir(copy)
        if wrong := blamed():
            raise BadInput(f"the project is not clean before any bit is flipped: {wrong[0]}")
        started = time.perf_counter()
        for kind in progress.track(list(KINDS) * flips, len(KINDS) * flips, "flip", "bits"):
            path = draw.choice(sorted(Path().glob(KINDS[kind])))
            whole = flip(path, draw)
            if any(str(path) in said for said in blamed()):
                found[kind] += 1
            else:
                progress.line(f"not found: {path}")
            restore(path, whole)
        took = time.perf_counter() - started
        if wrong := blamed():
            raise BadInput(f"the copy is not clean any more after the last flip: {wrong[0]}")
        os.chdir("/")
    for kind, count in found.items():
        print(f"{kind:<17} {count} of {flips} found")
    print(f"{took / flips / len(KINDS):.2f} s each")
    sys.exit(0 if min(found.values()) == flips else 1)


def make(folder: Path) -> None:
    """The pipeline of the tests, reproduced on the sample and committed."""
    from pipeline import clone, small

    made = clone(folder)
    made.params(small)
    for command in ("git add -A", "git commit -q -m Sample", "dvc repro", "git add -A", "git commit -q -m Reproduced"):
        made.run(*command.split())


def blamed() -> list[str]:
    """What verify objects to."""
    return [found.said for found in check.checks([], quick=True) if not found.fine]


def flip(path: Path, draw: random.Random) -> bytes:
    """Flip one bit; returns what was there."""
    before = path.read_bytes()
    content = bytearray(before)
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    restore(path, bytes(content))
    return before


def restore(path: Path, content: bytes) -> None:
    """Write into the same inode, and leave mode and times as they were."""
    was = path.stat()
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(was.st_mode)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


if __name__ == "__main__":
    with one_sentence():
        typer.run(main)
