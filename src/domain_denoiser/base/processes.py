"""The programs that our commands start: git, dvc and denoise itself."""

import codecs
import io
import os
import select
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

from domain_denoiser.base.secrets import masked
from domain_denoiser.base.signals import HEEDED_EVERY_S

PART = 2**16  # bytes that are read at most at a time
LONGEST = 600  # characters of a sentence; for people alone: what is cut off may be what a program would look for


class Failed(Exception):
    """Something that was rightly asked for did not work: what, in one sentence."""


def run(*command: str, on_line: Callable[[str], None] = lambda line: None) -> int:
    """Show a command and what it prints, and return its exit status. on_line: is given each line of its output.

    Signals are heeded within half a second, for the reason that `signals.awaited` has.
    """
    print(f"$ {masked(shlex.join(command))}", flush=True)
    with _started(*command) as running:
        complaints = threading.Thread(target=_show, args=(running.stderr, sys.stderr), daemon=True)
        complaints.start()
        try:
            _show(_lines(running.stdout), sys.stdout, on_line)
            while complaints.is_alive():
                complaints.join(HEEDED_EVERY_S)
        except BaseException:
            running.terminate()  # it may not have got the signal that ends this program
            raise
    return running.returncode


def _lines(pipe: TextIO) -> Iterator[str]:
    """The lines that come through a pipe, as reading it would give them, but no wait for them is long."""
    coming = select.poll()
    coming.register(pipe, select.POLLIN)
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(pipe.encoding)(pipe.errors), translate=True)
    rest, read = "", b" "
    while read:
        while not coming.poll(HEEDED_EVERY_S * 1_000):
            pass
        read = os.read(pipe.fileno(), PART)
        *lines, rest = (rest + decoder.decode(read, final=not read)).split("\n")
        yield from (f"{line}\n" for line in lines)
    if rest:
        yield rest


def _show(lines: Iterable[str], target: TextIO, on_line: Callable[[str], None] = lambda line: None) -> None:
    for line in lines:
        print(masked(line), end="", flush=True, file=target)
        on_line(line)


def must(*command: str, on_line: Callable[[str], None] = lambda line: None) -> None:
    """Run a command. Raises Failed unless it ends well."""
    status = run(*command, on_line=on_line)
    if status != 0:
        raise Failed(f"`{masked(shlex.join(command))}` ended with status {status}")


def output(*command: str) -> str:
    """What a command prints. Raises Failed, with what it said, unless it ends well."""
    with _started(*command) as running:
        printed, complaints = running.communicate()
    if running.returncode != 0:
        said = " ".join((complaints or printed).split())
        # Masked before it is cut: half a password would not be recognised.
        raise Failed(masked(f"`{shlex.join(command)}` ended with status {running.returncode}: {said}")[:LONGEST])
    return printed


def _started(*command: str) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            command,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise Failed(f"`{masked(shlex.join(command))}`: {command[0]} is not installed: `denoise doctor`") from error


def processors() -> int:
    """How many of them what is started here may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment() -> dict[str, str]:
    """That of the commands: this one, with the programs that were installed beside this Python first."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
