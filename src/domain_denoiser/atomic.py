"""Files and folders that are there whole or not at all: written under a temporary name, then renamed."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

PREFIX = ".writing-"  # not the target's own name, which may have the greatest length already


def file(path: Path) -> AbstractContextManager[Path]:
    """Yield a temporary path beside `path`; what was written there becomes `path` when the block ends well."""
    return _file(path, flush=True)


def passing_file(path: Path) -> AbstractContextManager[Path]:
    """The same, but not flushed to the disk, for a file that is replaced soon and whose damage its reader notices.

    A process that dies leaves it whole; a machine that loses its power may not.
    """
    return _file(path, flush=False)


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`, which replaces `path` when the block ends well."""
    _prepare(path.parent)
    temporary = Path(tempfile.mkdtemp(prefix=_prefix(), dir=path.parent))
    try:
        temporary.chmod(0o755)
        yield temporary
        for written in temporary.rglob("*"):
            if written.is_file():
                _flush(written)
        if path.exists():
            # A folder cannot be renamed over a full one. DVC removes outputs first, so this is for runs by hand.
            old = Path(tempfile.mkdtemp(prefix=_prefix(), dir=path.parent))
            path.replace(old)
            temporary.replace(path)
            shutil.rmtree(old)
        else:
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, value: object) -> None:
    """Equal values give equal bytes: sorted keys, a newline at the end; NaN and infinity are refused."""
    with file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


@contextmanager
def _file(path: Path, flush: bool) -> Iterator[Path]:
    _prepare(path.parent)
    handle, name = tempfile.mkstemp(prefix=_prefix(), dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        if flush:
            _flush(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _prefix() -> str:
    """Names the process, so that the next one knows what a killed one left."""
    return f"{PREFIX}{os.getpid()}-"


def _prepare(parent: Path) -> None:
    """Make the folder, and take away what processes that were killed left half written in it."""
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{PREFIX}*"):
        process = left.name.removeprefix(PREFIX).partition("-")[0]
        if not process.isdecimal() or _lives(int(process)):
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def _flush(path: Path) -> None:
    with path.open("rb") as written:
        os.fsync(written.fileno())
