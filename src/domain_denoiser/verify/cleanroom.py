"""A folder of its own, in which commands of stages run again on nothing but what dvc.lock says they read.

The inputs are copies of bytes that have the right MD5. There is no run cache, no checkpoint and no tracking, and what a
command writes does not reach the project.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from domain_denoiser import commands, revisions
from domain_denoiser.lineage import Stage
from domain_denoiser.verify.declared import within
from domain_denoiser.verify.inventory import Item, Output

CODE = ("src", "stages", "params.yaml", "dvc.yaml", "dvc.lock", ".dvc", ".dvcignore", "pyproject.toml")


class Unable(Exception):
    """Why a command could not run, or not to its end."""


@contextmanager
def opened() -> Iterator[Path]:
    """A temporary folder with the project's code and params, and none of what its stages wrote.

    Raises commands.Failed if there is no room for it.
    """
    with tempfile.TemporaryDirectory(prefix="denoise-verify-") as name:
        folder = Path(name)
        for path in _in_git():
            _copy(path, folder / path)
        yield folder


def bring(stage: Stage, outputs: Collection[Output], made: Collection[Output], folder: Path) -> None:
    """Copy there what a stage read, as far as it is not there yet.

    made: those of the outputs that are made there, and so never brought. Raises Unable if something is not to be had.
    """
    brought = [output for output in outputs if output not in made]
    for path in stage.deps:
        if Path(path).is_file() and not any(within(path, output.path) for output in outputs):
            _copy(Path(path), folder / path)
        for item in _items(path, brought):
            if (folder / item.path).exists():
                continue
            if item.place is None:
                raise Unable(f"{item.path}, which it read, is neither here nor in the cache as dvc.lock says")
            _copy(item.place, folder / item.path)


def run(stage: Stage, folder: Path, shown: IO[str] | None) -> None:
    """Run the command of a stage there. shown: where what it prints goes, if anywhere.

    Raises Unable if it fails, or does not write what it should.
    """
    done = subprocess.run(
        stage.cmd,
        shell=True,
        cwd=folder,
        env=_environment(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if shown is None else shown,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        last = (done.stdout or "").strip().rpartition("\n")[2]
        raise Unable(f"its command ended with status {done.returncode}{last and f': {last}'}")
    if missing := [path for path in stage.outs if not (folder / path).exists()]:
        raise Unable(f"its command ended well, but wrote no {', '.join(missing)}")


def _environment(present: Mapping[str, str]) -> dict[str, str]:
    """Without what would have a stage tracked, or send it elsewhere."""
    kept = {name: value for name, value in present.items() if not name.startswith(("DVC_", "MLFLOW_"))}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{present['PATH']}"}


def _in_git() -> list[Path]:
    """The code that git tracks, or would if it were added."""
    listed = revisions.git("ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *CODE)
    names = [] if listed is None else listed.decode().split("\0")
    return [Path(name) for name in names if name and Path(name).is_file()]


def _items(path: str, outputs: Collection[Output]) -> Iterator[Item]:
    """The files of an input that some stage wrote: all of a folder, or one."""
    for output in outputs:
        if within(path, output.path):
            if not output.known:
                raise Unable(f"which files {output.path} has, which it read, is not known: its listing is lost")
            yield from (item for item in output.items if within(str(item.path), path))


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        raise commands.Failed(f"{source} cannot be copied to {target}: {error.strerror}") from error
