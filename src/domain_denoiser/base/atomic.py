"""Files and folders that are there whole or not at all: written under a temporary name, then renamed.

They get the permissions that any new file or folder gets there: what the umask leaves.
"""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from domain_denoiser.base.signals import undisturbed

PREFIX = ".writing-"  # not the target's own name, which may have the greatest length already
# What only writing can run into, whatever else a program reads meanwhile.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def file(path: Path) -> AbstractContextManager[Path]:
    """Yield a temporary path beside `path`; what was written there becomes `path` when the block ends well.

    An OSError names `path`, not the temporary one, and nothing is left behind, also when a signal stops the program.
    """
    return _file(path, flush=True)


def one_of_many(path: Path, cleared: set[Path]) -> AbstractContextManager[Path]:
    """As `file`, in time that does not grow with the files beside it.

    What killed processes left there is looked for once a folder, which is in `cleared` from then on.
    """
    return _file(path, flush=True, cleared=cleared)


def passing_file(path: Path) -> AbstractContextManager[Path]:
    """The same, but not flushed to the disk, for a file that is replaced soon and whose damage its reader notices.

    A process that dies leaves it whole; a machine that loses its power may not.
    """
    return _file(path, flush=False)


def together() -> AbstractContextManager[Callable[[Path], Path]]:
    """Yield what gives a temporary path for a path; when the block ends well, all of them take their places.

    Otherwise as `file`, and no path is changed.
    """
    return _together(flush=True)


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`, which replaces `path` when the block ends well.

    Otherwise as `file`.
    """
    places: dict[Path, _Temporary] = {}
    with _naming(places):
        try:
            with undisturbed():
                places[path] = _begun(path, Path.mkdir)
            yield places[path].path
            for written in places[path].path.rglob("*"):
                if written.is_file():
                    _flush(written)
            with undisturbed():
                _replace(places[path].path, path)
        finally:
            with undisturbed():
                for temporary in places.values():
                    temporary.end()


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON, as `as_json` spells it."""
    with file(path) as temporary:
        temporary.write_text(as_json(value))


def as_json(value: object) -> str:
    """Equal values give equal text: sorted keys, a newline at the end; NaN and infinity are refused."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"


class _Temporary(NamedTuple):
    """A temporary file or folder, and the lock that tells others that somebody is writing it."""

    path: Path
    lock: int | None  # a file descriptor; a lock ends with its process, in whatever container that runs

    def end(self) -> None:
        """Take away what was not renamed, and give the lock back."""
        _remove(self.path)
        if self.lock is not None:
            os.close(self.lock)


@contextmanager
def _file(path: Path, flush: bool, cleared: set[Path] | None = None) -> Iterator[Path]:
    with _together(flush, cleared) as new:
        yield new(path)


@contextmanager
def _together(flush: bool, cleared: set[Path] | None = None) -> Iterator[Callable[[Path], Path]]:
    places: dict[Path, _Temporary] = {}

    def new(path: Path) -> Path:
        with undisturbed():
            places[path] = _begun(path, _touch, cleared)
        return places[path].path

    try:
        with _naming(places):
            yield new
            if flush:
                for temporary in places.values():
                    _flush(temporary.path)
            with undisturbed():
                for path, temporary in places.items():
                    temporary.path.replace(path)
    finally:
        with undisturbed():
            for temporary in places.values():
                temporary.end()


@contextmanager
def _naming(places: Mapping[Path, _Temporary | None]) -> Iterator[None]:
    """An OSError names the path that is written, in the place of a temporary name that nobody knows.

    One of a full disk has no name: it gets that of the path, or of the folder if several are written into it. Any other
    without a name stays as it is: it may be of something that is read.
    """
    try:
        yield
    except OSError as error:
        name = _name(error, places)
        if error.errno is None or name is None:
            raise
        raise OSError(error.errno, error.strerror, name) from error


def _name(error: OSError, places: Mapping[Path, _Temporary | None]) -> str | None:
    """What the error should name; None if it may stay as it is."""
    if error.filename is None:
        if error.errno not in NO_SPACE or not places:
            return None
        return str(next(iter(places))) if len(places) == 1 else os.path.commonpath([path.parent for path in places])
    told = os.fsdecode(error.filename)
    if PREFIX not in told:
        return None
    for path, temporary in places.items():
        if temporary is not None and Path(told).is_relative_to(temporary.path):
            return str(path / Path(told).relative_to(temporary.path))
    return str(next(iter(places))) if len(places) == 1 else None  # begun and ended already, or about to begin


def _replace(temporary: Path, path: Path) -> None:
    if not path.exists():
        temporary.replace(path)
        return
    # A folder cannot be renamed over a full one. DVC removes outputs first, so this is for runs by hand.
    old = _begun(path, Path.mkdir)
    try:
        path.replace(old.path)
        try:
            temporary.replace(path)
        except OSError:
            old.path.replace(path)
            raise
    finally:
        old.end()


def _begun(path: Path, make: Callable[[Path], None], cleared: set[Path] | None = None) -> _Temporary:
    """A new temporary file or folder beside `path`, without what killed processes left there half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if cleared is None or path.parent not in cleared:
        for left in path.parent.glob(f"{PREFIX}*"):
            _remove_if_left(left)
    if cleared is not None:
        cleared.add(path.parent)
    while True:
        temporary = path.parent / f"{PREFIX}{uuid4().hex[:16]}"
        with _naming({path: None}):
            make(temporary)
        lock = _locked(temporary, fcntl.LOCK_EX)
        # Between the two, another process may have taken it for one that was left, and removed it.
        if temporary.exists():
            return _Temporary(temporary, lock)
        if lock is not None:
            os.close(lock)


def _touch(path: Path) -> None:
    path.touch(exist_ok=False)


def _locked(path: Path, how: int) -> int | None:
    """A file descriptor that holds the lock of a file or folder; None if it cannot be had.

    Some file systems have no locks: there nothing is known to be left, and so nothing is removed.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, how)
    except OSError:
        os.close(handle)
        return None
    return handle


def _remove_if_left(path: Path) -> None:
    """Take it away if nobody writes it any more."""
    lock = _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if lock is not None:
        _Temporary(path, lock).end()


def _remove(path: Path) -> None:
    """Take it away, as far as this user may."""
    with suppress(OSError):
        if path.is_dir():
            path.chmod(0o700)  # else one that was closed to writing would stay
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    with path.open("rb") as written:
        try:
            os.fsync(written.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
