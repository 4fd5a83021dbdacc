"""Files and folders that are there whole or not at all: written under a temporary name, then renamed."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from domain_denoiser.stopping import undisturbed

PREFIX = ".writing-"  # not the target's own name, which may have the greatest length already


def file(path: Path) -> AbstractContextManager[Path]:
    """Yield a temporary path beside `path`; what was written there becomes `path` when the block ends well.

    An OSError names `path`, not the temporary one, and nothing is left behind, also when a signal stops the program.
    """
    return _file(path, flush=True)


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
    temporary = None
    with _naming({path: path}):
        try:
            with undisturbed():
                _prepare(path.parent)
                temporary = Path(tempfile.mkdtemp(prefix=_prefix(), dir=path.parent))
            temporary.chmod(0o755)
            yield temporary
            for written in temporary.rglob("*"):
                if written.is_file():
                    _flush(written)
            with undisturbed():
                _replace(temporary, path)
        finally:
            with undisturbed():
                if temporary is not None:
                    shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON, as `as_json` spells it."""
    with file(path) as temporary:
        temporary.write_text(as_json(value))


def as_json(value: object) -> str:
    """Equal values give equal text: sorted keys, a newline at the end; NaN and infinity are refused."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"


@contextmanager
def _file(path: Path, flush: bool) -> Iterator[Path]:
    with _together(flush) as new:
        yield new(path)


@contextmanager
def _together(flush: bool) -> Iterator[Callable[[Path], Path]]:
    places: dict[Path, Path] = {}  # temporary -> path

    def new(path: Path) -> Path:
        with _naming({path: path}), undisturbed():
            _prepare(path.parent)
            handle, name = tempfile.mkstemp(prefix=_prefix(), dir=path.parent)
            places[Path(name)] = path
            os.close(handle)
        return Path(name)

    try:
        with _naming(places):
            yield new
            for temporary in places:
                temporary.chmod(0o644)
                if flush:
                    _flush(temporary)
            with undisturbed():
                for temporary, path in places.items():
                    temporary.replace(path)
    finally:
        with undisturbed():
            for temporary in places:
                temporary.unlink(missing_ok=True)


@contextmanager
def _naming(places: Mapping[Path, Path]) -> Iterator[None]:
    """An error of writing has no name, or a temporary one that nobody knows; the file that was begun last is meant."""
    try:
        yield
    except OSError as error:
        if error.errno is None or (error.filename is not None and PREFIX not in os.fsdecode(error.filename)):
            raise
        raise OSError(error.errno, error.strerror, str(list(places.values())[-1])) from error


def _replace(temporary: Path, path: Path) -> None:
    if not path.exists():
        temporary.replace(path)
        return
    # A folder cannot be renamed over a full one. DVC removes outputs first, so this is for runs by hand.
    old = Path(tempfile.mkdtemp(prefix=_prefix(), dir=path.parent))
    path.replace(old)
    try:
        temporary.replace(path)
    except OSError:
        old.replace(path)
        raise
    old.chmod(0o755)  # else one that was closed to writing would stay
    shutil.rmtree(old)


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
