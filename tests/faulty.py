"""A process that runs commands of the project under faults: it imports what they need once, and forks for each.

Started by `Faulty` below, it reads a line of JSON for each command from standard input and answers with one.
"""

import contextlib
import ctypes
import faulthandler
import hashlib
import importlib
import json
import os
import resource
import runpy
import select
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

LIBC = ctypes.CDLL(None, use_errno=True)
NEW_MOUNTS, NEW_USER = 0x20000, 0x10000000  # of unshare(2)
READ_ONLY, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 32, 4096, 16384, 1 << 18  # of mount(2)
NOT_PERMITTED = "not permitted here"
PATIENCE_S = 60  # no command takes so long, however busy the machine is


class Done(NamedTuple):
    """How a command ended, and what lies in its folder afterwards."""

    status: int
    out: str
    err: str
    files: dict[str, str]  # path -> MD5


class Faulty:
    """The process, to be asked."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, folder: Path, *command: str, **faults: object) -> Done:
        """Run `stages/x.py ...` or `denoise ...` in a folder; faults: arguments for the functions of `FAULTS`."""
        asked = {"folder": str(folder), "command": command, "faults": faults}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], 2 * PATIENCE_S)[0]:
            self._process.kill()
            raise TimeoutError(f"{' '.join(command)} under {faults} hangs, and what runs it as well")
        return Done(*json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        with self._process:
            self._process.stdin.close()


# Faults, each brought about in the process of the command alone


def file_size(largest: int) -> None:
    """No file may become larger: what a disk that is full looks like to whoever writes, wherever tests run."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def memory(left: int) -> None:
    """So many bytes of address space more than now."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (taken + left, resource.getrlimit(resource.RLIMIT_AS)[1]))


def no_permission(folder: str) -> None:
    """A folder that may not be written to, also not by root."""
    Path(folder).chmod(0o555)
    if os.getuid() == 0:
        _without_privileges()


def read_only(folder: str) -> None:
    """A folder on a file system that takes no writing."""
    _own_mounts()
    _mount(folder, folder, None, BIND, None)
    _mount(folder, folder, None, BIND | REMOUNT | READ_ONLY, None)


def full_disk(folder: str, left: int) -> None:
    """A folder on a disk that has so many bytes left beside what lies in it."""
    _own_mounts()
    with tempfile.TemporaryDirectory() as aside:
        shutil.copytree(folder, f"{aside}/held", symlinks=True)
        _mount("tmpfs", folder, "tmpfs", 0, "size=64m")
        shutil.copytree(f"{aside}/held", folder, symlinks=True, dirs_exist_ok=True)
    page = os.sysconf("SC_PAGE_SIZE")
    disk = os.statvfs(folder)
    used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
    _mount("tmpfs", folder, "tmpfs", REMOUNT, f"size={(used + left + page - 1) // page * page}")


def signals(number: int, at: int, again: bool, call: str = "os.fsync") -> None:
    """A signal when a function is called for the `at`th time, and perhaps one while what it left is cleared away.

    os.fsync is called when a file is about to be finished.
    """
    module, _, name = call.rpartition(".")
    holder = importlib.import_module(module)
    called, clear, counted = getattr(holder, name), Path.unlink, []

    def calling(*arguments: object, **options: object) -> object:
        counted.append(arguments)
        if len(counted) == at:
            os.kill(os.getpid(), number)
        return called(*arguments, **options)

    def clearing(path: Path, **options: object) -> None:
        if again and len(counted) == at:
            os.kill(os.getpid(), number)
        clear(path, **options)

    setattr(holder, name, calling)
    Path.unlink = clearing


FAULTS: dict[str, Callable[..., None]] = {
    fault.__name__: fault for fault in (file_size, memory, no_permission, read_only, full_disk, signals)
}


def _without_privileges() -> None:
    """Root without its right to read and write what its permissions deny."""
    top, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    _checked(LIBC.capget(top, sets))
    for place in range(3):  # effective, permitted, inheritable
        sets[place] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    _checked(LIBC.capset(top, sets))


def _own_mounts() -> None:
    user, group = os.getuid(), os.getgid()
    _checked(LIBC.unshare(NEW_MOUNTS if user == 0 else NEW_MOUNTS | NEW_USER))
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _mount(None, "/", None, RECURSIVE | PRIVATE, None)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None) -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind, options)]
    _checked(LIBC.mount(*words[:3], ctypes.c_ulong(flags), words[3]))


def _checked(result: int) -> None:
    if result != 0:
        raise PermissionError(ctypes.get_errno(), NOT_PERMITTED)


# The process


def main() -> None:
    _import_all()
    for line in sys.stdin:
        asked = json.loads(line)
        pipes = [os.pipe() for _ in range(3)]
        child = os.fork()
        if child == 0:
            _run([writing for _, writing in pipes], **asked)
        for _, writing in pipes:
            os.close(writing)
        status, texts = _followed(child, [reading for reading, _ in pipes])
        files = json.loads(texts.pop() or "null") or seen(Path(asked["folder"]))
        print(json.dumps([status, *texts, files]), flush=True)


def _followed(child: int, pipes: list[int]) -> tuple[int, list[str]]:
    """The exit status of a process, negative for a signal, and what it wrote into its pipes.

    All of them are read as something comes: a process waits for ever whose full pipe nobody reads. What it started and
    left behind would keep them open, and ends with it.
    """
    told, ended = dict.fromkeys(pipes, b""), None
    with selectors.DefaultSelector() as waiting:
        for pipe in pipes:
            waiting.register(pipe, selectors.EVENT_READ)
        while waiting.get_map() or ended is None:
            if ended is None:
                process, status = os.waitpid(child, os.WNOHANG)
                if process:
                    ended = os.waitstatus_to_exitcode(status)
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(child, signal.SIGKILL)
            for key, _ in waiting.select(0.02):
                found = os.read(key.fd, 1 << 16)
                told[key.fd] += found
                if not found:
                    waiting.unregister(key.fd)
                    os.close(key.fd)
    return ended, [text.decode(errors="replace") for text in told.values()]


def _import_all() -> None:
    """Whatever the commands import; nothing is computed here, as a copy of a process has none of its threads."""
    os.environ |= {"MLFLOW_LOGGING_LEVEL": "CRITICAL", "MLFLOW_DISABLE_TELEMETRY": "true"}
    import matplotlib.figure
    import mlflow.pytorch  # noqa: F401
    import scipy.stats
    import torchvision.datasets  # noqa: F401
    from matplotlib.backends import backend_agg  # noqa: F401

    from domain_denoiser import cli, evaluation, gate, sync, tracking, training  # noqa: F401
    from domain_denoiser.models import mlp, stored, unet  # noqa: F401

    assert matplotlib.figure and scipy.stats


def _run(told: list[int], folder: str, command: list[str], faults: dict[str, dict[str, object]]) -> None:
    """Be the command."""
    status = 1
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(told[0], 1)
        os.dup2(told[1], 2)
        limits = {name: resource.getrlimit(name) for name in (resource.RLIMIT_FSIZE, resource.RLIMIT_AS)}
        sys.argv = command
        # One that hangs says where, and ends with SIGALRM.
        faulthandler.register(signal.SIGALRM, chain=True)
        signal.alarm(PATIENCE_S)
        for name, arguments in faults.items():
            FAULTS[name](**arguments)
        status = _status(command)
        for name, limit in limits.items():
            resource.setrlimit(name, limit)
        os.write(told[2], json.dumps(seen(Path())).encode())
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _status(command: list[str]) -> int:
    """Run it as Python would, and return its exit status."""
    try:
        if command[0] == "denoise":
            from domain_denoiser import cli

            cli.main()
        else:
            runpy.run_path(command[0], run_name="__main__")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def seen(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


if __name__ == "__main__":
    main()
