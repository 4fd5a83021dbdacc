"""The programs that our commands start: git, dvc and denoise itself."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


class Failed(Exception):
    """Something that was rightly asked for did not work: what, in one sentence."""


def run(*command: str, on_line: Callable[[str], None] = lambda line: None) -> int:
    """Show a command and what it prints, and return its exit status. on_line: is given each line of its output."""
    print(f"$ {shlex.join(command)}", flush=True)
    with subprocess.Popen(
        command, env=_environment(), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as running:
        for line in running.stdout:
            print(line, end="", flush=True)
            on_line(line)
    return running.returncode


def must(*command: str, on_line: Callable[[str], None] = lambda line: None) -> None:
    """Run a command. Raises Failed unless it ends well."""
    status = run(*command, on_line=on_line)
    if status != 0:
        raise Failed(f"`{shlex.join(command)}` ended with status {status}")


def output(*command: str) -> str:
    """What a command prints. Raises Failed, with what it said, unless it ends well."""
    done = subprocess.run(command, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())
        raise Failed(f"`{shlex.join(command)}` ended with status {done.returncode}: {without_secrets(said)[:500]}")
    return done.stdout


def processors() -> int:
    """How many of them what is started here may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def without_secrets(text: str) -> str:
    """Addresses without the names and passwords in them."""
    return re.sub(r"//[^/@\s]*@", "//***@", text)


def _environment() -> dict[str, str]:
    """This environment, with the programs that were installed beside this Python first."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
