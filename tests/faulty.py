"""Commands under faults, each in a process of its own that the warm one forks for it."""

import ctypes
import faulthandler
import hashlib
import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import warm

LIBC = ctypes.CDLL(None, use_errno=True)
NEW_MOUNTS, NEW_USER = 0x20000, 0x10000000  # of unshare(2)
READ_ONLY, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 32, 4096, 16384, 1 << 18  # of mount(2)
NOT_PERMITTED = "not permitted here"
PATIENCE_S = 240  # no command takes so long, however busy the machine is


class Done(NamedTuple):
    """How a command ended, and what lies in its folder afterwards."""

    status: int
    out: str
    err: str
    files: dict[str, str]  # path -> MD5


def run_in(folder: Path, *command: str, environment: Mapping[str, str] = os.environ, **faults: object) -> Done:
    """Run `stages/x.py ...`, `denoise ...` or `dvc ...` in a folder; faults: arguments for functions of `FAULTS`."""
    program = ("python", *command) if command[0].endswith(".py") else command
    done = subprocess.run(
        [warm.programs() / program[0], *program[1:]],
        cwd=folder,
        env={**environment, "WARM_FAULTS": json.dumps(faults), "MLFLOW_LOGGING_LEVEL": "CRITICAL"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=2 * PATIENCE_S,
    )
    err, _, files = done.stderr.partition("\0")
    return Done(done.returncode, done.stdout, err, json.loads(files) if files else seen(folder))


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


def temporary_files(folder: str, chosen: bool) -> None:
    """TMPDIR names this folder; chosen: it was found good for temporary files before the faults that came first."""
    os.environ["TMPDIR"] = folder
    tempfile.tempdir = folder if chosen else None


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
    fault.__name__: fault
    for fault in (file_size, memory, no_permission, read_only, full_disk, temporary_files, signals)
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


# In the child that is to be the command


def run(faults: dict[str, dict[str, object]], command: Callable[[], int]) -> int:
    """Run a command under faults; what lies in its folder then, which only it may see, is the last that it writes."""
    _import_all()
    limits = {name: resource.getrlimit(name) for name in (resource.RLIMIT_FSIZE, resource.RLIMIT_AS)}
    # One that hangs says where, and ends with SIGALRM.
    faulthandler.register(signal.SIGALRM, chain=True)
    signal.alarm(PATIENCE_S)
    for name, arguments in faults.items():
        FAULTS[name](**arguments)
    status = command()
    for name, limit in limits.items():
        resource.setrlimit(name, limit)
    sys.stderr.flush()
    os.write(2, f"\0{json.dumps(seen(Path()))}".encode())
    return status


def _import_all() -> None:
    """What commands import late: a fault is to hit what they do, not how they start."""
    from domain_denoiser.networks import mlp, stored, unet  # noqa: F401
    from domain_denoiser.training import loop  # noqa: F401


def seen(folder: Path) -> dict[str, str]:
    """Path -> MD5."""
    return {
        str(path.relative_to(folder)): hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
