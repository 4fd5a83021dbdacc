"""A folder of its own, in which commands of stages run again on nothing but what dvc.lock says they read.

The inputs are copies of bytes that have the right MD5. There is no run cache, no checkpoint and no tracking, and what a
command writes does not reach the project.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from domain_denoiser.base import processes
from domain_denoiser.base.signals import undisturbed
from domain_denoiser.operations.verify.declared import within
from domain_denoiser.operations.verify.inventory import Item, Output
from domain_denoiser.runs import listings, revisions
from domain_denoiser.runs.dvc_lock import Stage

CODE = ("src", "stages", "params.yaml", "dvc.yaml", "dvc.lock", ".dvc", ".dvcignore", "pyproject.toml")
PATIENCE_S = 5.0  # with commands that are asked to end


class Unable(Exception):
    """Why a command could not run, or not to its end."""


@contextmanager
def opened() -> Iterator["Room"]:
    """A temporary folder with the project's code and params, and none of what its stages wrote.

    When the block ends, so do the commands that still run there. Raises commands.Failed if there is no space for it.
    """
    temporary = tempfile.TemporaryDirectory(prefix="denoise-verify-", ignore_cleanup_errors=True)
    room = Room(Path(temporary.name))
    try:
        for path in _in_git():
            _copy(path, room.folder / path)
        yield room
    finally:
        with undisturbed():
            room.close()
            temporary.cleanup()


class Room:
    """The folder, and the commands that run in it; several threads may run one each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: set[subprocess.Popen[str]] = set()
        self._closed = False
        self._entrance = threading.Lock()

    def bring(self, stage: Stage, outputs: Collection[Output], made: Collection[Output]) -> None:
        """Copy here what a stage read, as far as it is not here yet.

        made: those of the outputs that are made here, and so never brought. Raises Unable if something is not to be
        had.
        """
        brought = [output for output in outputs if output not in made]
        for path in stage.deps:
            if not any(within(path, output.path) or within(output.path, path) for output in outputs):
                for file in listings.files(Path(path)):
                    _copy(file, self.folder / file)
            for item in _items(path, brought):
                if (self.folder / item.path).exists():
                    continue
                if item.place is None:
                    raise Unable(f"{item.path}, which it read, is neither here nor in the cache as dvc.lock says")
                _copy(item.place, self.folder / item.path)

    def run(self, stage: Stage, shown: IO[str] | None) -> None:
        """Run the command of a stage here. shown: where what it prints goes, if anywhere.

        Raises Unable if it fails, or does not write what it should.
        """
        running = self._started(stage, shown)
        try:
            printed, _ = running.communicate()
        finally:
            if running.returncode is not None:
                self._running.discard(running)
        if running.returncode != 0:
            last = (printed or "").strip().rpartition("\n")[2]
            raise Unable(f"its command ended with status {running.returncode}{last and f': {last}'}")
        if missing := [path for path in stage.outs if not (self.folder / path).exists()]:
            raise Unable(f"its command ended well, but wrote no {', '.join(missing)}")

    def _started(self, stage: Stage, shown: IO[str] | None) -> subprocess.Popen[str]:
        with undisturbed(), self._entrance:
            if self._closed:
                raise Unable("verify was stopped")
            running = subprocess.Popen(
                stage.cmd,
                shell=True,
                cwd=self.folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if shown is None else shown,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # so that the shell ends together with what it has started
            )
            self._running.add(running)
            return running

    def close(self) -> None:
        """End what still runs here, and let nothing more begin."""
        with self._entrance:
            self._closed = True
        rest = self._running.copy()
        for number in (signal.SIGTERM, signal.SIGKILL):
            rest = {running for running in rest if running.poll() is None}
            for running in rest:
                with suppress(ProcessLookupError):
                    os.killpg(running.pid, number)
            deadline = time.monotonic() + PATIENCE_S
            for running in rest:
                with suppress(subprocess.TimeoutExpired):
                    running.wait(max(0.0, deadline - time.monotonic()))


def _environment() -> dict[str, str]:
    """Without what would have a stage tracked, or send it elsewhere."""
    return {name: value for name, value in processes.environment().items() if not name.startswith(("DVC_", "MLFLOW_"))}


def _in_git() -> list[Path]:
    """The code that git tracks, or would if it were added."""
    names = revisions.files("--cached", "--others", "--exclude-standard", "--", *CODE)
    return [Path(name) for name in names if Path(name).is_file()]


def _items(path: str, outputs: Collection[Output]) -> Iterator[Item]:
    """The files of an input that some stage wrote: all of a folder, or one."""
    for output in outputs:
        if within(path, output.path) or within(output.path, path):
            if not output.known:
                raise Unable(f"which files {output.path} has, which it read, is not known: its listing is lost")
            yield from (item for item in output.items if within(str(item.path), path))


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        raise processes.Failed(f"{source} cannot be copied to {target}: {error.strerror}") from error
