"""Ten small mistakes put into a copy of the code, one at a time, and which of the tests notice each.

`python benchmarks/mutants.py` prints a line for each: which of `make test` and `make test-services` catches it. The
exit status is 1 if one survives. Each runs only the tests that are named beside it.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

ROOT = Path(__file__).parent.parent
CODE = "src/domain_denoiser"
COMMANDS = {"make test": "not services", "make test-services": "services"}


class Mutant(NamedTuple):
    """One mistake."""

    name: str
    file: str
    old: str
    new: str
    tests: str  # that are to notice it


MUTANTS = (
    Mutant(
        "a wrong hash",
        f"{CODE}/data/sources.py",
        "hashlib.sha256(content).hexdigest()",
        "data.sha256[name]",
        "tests/data/test_sources.py -k spoilt",
    ),
    Mutant(
        "a skipped flush",
        f"{CODE}/base/atomic.py",
        "            if flush:\n",
        "            if False:\n",
        "tests/base/test_atomic.py",
    ),
    Mutant(
        "a gate that always passes",
        f"{CODE}/operations/gate.py",
        "return all(held for held, _ in checks)",
        "return True",
        "tests/runs/test_sync.py -k gate",
    ),
    Mutant(
        "noise drawn once for all epochs",
        f"{CODE}/training/loop.py",
        'generator(device, seed, "noise", epoch)',
        'generator(device, seed, "noise")',
        "tests/training/test_loop.py -k noise",
    ),
    Mutant(
        "an epoch lost after a resume",
        f"{CODE}/training/loop.py",
        "done = after.epoch\n",
        "done = after.epoch + 1\n",
        "tests/training/test_fitting.py",
    ),
    Mutant(
        "a tag that is not set",
        f"{CODE}/runs/mlflow_store.py",
        '"git.dirty": str(origin.dirty).lower(),',
        "",
        "tests/test_pipeline.py -k what_went_in",
    ),
    Mutant(
        "a seed that is not used",
        f"{CODE}/core/noisy_sets.py",
        'generator("cpu", seed, "noise", *name)',
        'generator("cpu", 0, "noise", *name)',
        "tests/core/test_noisy_sets.py",
    ),
    Mutant(
        "PSNR off by a factor",
        f"{CODE}/core/metrics.py",
        "(-10.0 * mse.log10())",
        "(-20.0 * mse.log10())",
        "tests/core/test_metrics.py",
    ),
    Mutant(
        "a lock that is not taken",
        f"{CODE}/base/one_writer.py",
        "lock.acquire(timeout=0)",
        "pass",
        "tests/base/test_one_writer.py",
    ),
    Mutant(
        "a dependency that is not declared",
        "dvc.yaml",
        f"      - {CODE}/training\n",
        "",
        "tests/test_structure.py -k declares_all",
    ),
)


def caught(mutant: Mutant, root: Path, select: str | None) -> bool:
    """Whether the tests fail in the tree at `root` with the mistake in it. Raises ValueError if it fits nowhere."""
    path = root / mutant.file
    right = path.read_text()
    if mutant.old not in right:
        raise ValueError(f"{mutant.file} has no {mutant.old!r}")
    path.write_text(right.replace(mutant.old, mutant.new, 1))
    try:
        return _status(root, mutant.tests, select) == 1
    finally:
        path.write_text(right)


def _status(root: Path, tests: str, select: str | None) -> int:
    selected = [] if select is None else ["-m", select]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-x", *shlex.split(tests), *selected],
        cwd=root,
        env=os.environ | {"PYTHONPATH": "src"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ).returncode


def main(
    tree: Annotated[Path, typer.Option(help="The checkout whose code and tests are used.")] = ROOT,
    only: Annotated[str, typer.Option(help="A part of the names of those to be tried.")] = "",
    unmarked: Annotated[bool, typer.Option("--unmarked", help="Its tests are not split into two commands.")] = False,
) -> None:
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "tree"
        shutil.copytree(tree, root, symlinks=True, ignore=shutil.ignore_patterns("cache", "__pycache__", ".venv"))
        for mutant in MUTANTS:
            if only not in mutant.name:
                continue
            commands = {"the tests": None} if unmarked else COMMANDS
            by = next((name for name, select in commands.items() if caught(mutant, root, select)), None)
            survived += by is None
            print(f"{mutant.name}: {'survived' if by is None else f'caught by {by}'}", flush=True)
    sys.exit(bool(survived))


if __name__ == "__main__":
    typer.run(main)
