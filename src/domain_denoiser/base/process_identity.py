"""Which process does a piece of work, told so that another one is never taken for it, nor a live one for dead.

A process number counts within a PID namespace (each container has its own), and only until the machine starts again;
the start of a process counts in ticks since then. The clock on the wall can be set, so it tells nothing.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

PROC = Path("/proc")
FIRST_NAMESPACE = "pid:[4026531836]"  # the machine's own, outside containers; Linux's PROC_PID_INIT_INO
START_TICKS = 19  # of the fields of /proc/PID/stat that follow the name


def tags(pid: int) -> dict[str, str]:
    """What tells this process from every other one. Raises ProcessLookupError if there is none."""
    told = {
        "process.host": socket.gethostname(),
        "process.machine": _machine(),
        "process.boot": _read(PROC / "sys/kernel/random/boot_id"),
        "process.namespace": _namespace(),
        "process.pid": str(pid),
        "process.start_ticks": _start_ticks(pid) or "",
    }
    return {name: value for name, value in told.items() if value}


def is_dead(told: Mapping[str, str]) -> bool:
    """Whether the process that `tags` told of surely runs no more. One that cannot be looked at counts as alive."""
    pid = told.get("process.pid", "")
    if told.get("process.host") != socket.gethostname() or not pid.isdecimal():
        return False
    if "process.start_ticks" not in told:  # of a system without /proc, or of an older version
        return "process.namespace" not in told and _namespace() in ("", FIRST_NAMESPACE) and not _exists(int(pid))
    if told.get("process.boot") != _read(PROC / "sys/kernel/random/boot_id"):
        # Started again since; or another machine of this name, or a container whose host that is.
        same = _machine() and told.get("process.machine") == _machine()
        return bool(same and told.get("process.namespace") == _namespace() == FIRST_NAMESPACE)
    if told.get("process.namespace") != _namespace():
        return False
    ticks = _start_ticks(int(pid))
    # Another user's process may be hidden from us.
    return not _exists(int(pid)) if ticks is None else ticks != told["process.start_ticks"]


def _start_ticks(pid: int) -> str | None:
    """When a process started, in ticks since the machine did; empty if it has ended and only waits for its parent to
    notice, None if there is no such process to be seen.
    """
    # Its name, which may hold brackets and blanks, ends at the last bracket.
    fields = _read(PROC / str(pid) / "stat").rpartition(")")[2].split()
    return None if not fields else "" if fields[0] in "ZX" else fields[START_TICKS]


def _machine() -> str:
    return _read(Path("/etc/machine-id"))


def _namespace() -> str:
    try:
        return str((PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
