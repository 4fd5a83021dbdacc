"""A stage computes with the params that its reproduction began with, or not at all.

DVC reads params.yaml anew for each stage, and once more when the stage has ended, to record what it read. Whoever
changes the file meanwhile gets a mixture, or a dvc.lock that is wrong; a refused `dvc exp run -S` changes it too.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from domain_denoiser.base import atomic, parsing, process_identity, reading
from domain_denoiser.base.errors import BadInput

FILES = (Path("params.yaml"), Path("study/params.yaml"))
KEPT = ".reproduction"  # the end of the name of a folder with the files as they were
PROCESS = "process.json"  # in it: which process that was
LARGEST = 2**20  # bytes of what Linux tells of a process


@contextmanager
def unchanged(running: Path) -> Iterator[None]:
    """Raise BadInput if what the stage reads of its params files is not, or at its end is no more, what it was.

    running: a folder for what is there only while stages run. What DVC did not start is not looked at.
    """
    stage = os.environ.get("DVC_STAGE")
    if stage is None:
        yield
        return
    began = _began(running, stage)
    _refuse_changes(stage, began)
    yield
    _refuse_changes(stage, began)


def _began(running: Path, stage: str) -> dict[Path, bytes]:
    """The params files as the first stage of this reproduction found them; as they are if it cannot be told."""
    dvc = _dvc(stage)
    if dvc is None:
        return _now()
    told = process_identity.tags(dvc)
    kept = running / f"{hashlib.sha256(atomic.as_json(told).encode()).hexdigest()[:16]}{KEPT}"
    if not kept.exists():
        for left in running.glob(f"*{KEPT}"):
            _remove_if_ended(left)
        with atomic.folder(kept) as temporary:
            (temporary / PROCESS).write_text(atomic.as_json(told))
            for path, content in _now().items():
                (temporary / path).parent.mkdir(exist_ok=True)
                (temporary / path).write_bytes(content)
    return {path: (kept / path).read_bytes() for path in FILES if (kept / path).exists()}


def _now() -> dict[Path, bytes]:
    return {path: reading.content(path, reading.LARGEST_TEXT) for path in FILES if path.exists()}


def _refuse_changes(stage: str, began: Mapping[Path, bytes]) -> None:
    now = _now()
    if now == began:  # as it nearly always is: nothing is parsed, and DVC is not imported
        return
    for path, keys in _read_by(stage).items():
        was, is_now = (parsing.parse(files.get(path, b""), str(path)) for files in (began, now))
        before, after = (_values(content, keys) for content in (was, is_now))
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                raise BadInput(
                    f"{path} changed since this reproduction began ({name} is {after.get(name, 'not there')}, was "
                    f"{before.get(name, 'not there')}): run `dvc repro` again"
                )


def _read_by(stage: str) -> dict[Path, list[str]]:
    """The keys that a stage reads of each params file; all of them if DVC does not know the stage any more."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    path, _, name = stage.rpartition(":")
    try:
        with Repo(".") as repo:
            found = repo.stage.load_one(path or None, name)
            return {Path(dep.def_path): list(dep.params) for dep in found.deps if hasattr(dep, "params")}
    except (DvcException, OSError):  # an entry that was removed, or a file that cannot be read any more
        return {path: [] for path in FILES}


def _values(content: object, keys: list[str]) -> dict[str, object]:
    """Every scalar and list under these dotted keys, by its own key; without keys, all there are."""
    flat = dict(_flattened("", content))
    return {name: value for name, value in flat.items() if not keys or f"{name}.".startswith(tuple(_dotted(keys)))}


def _dotted(keys: list[str]) -> Iterator[str]:
    return (f"{key}." for key in keys)


def _flattened(key: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flattened(f"{key}.{name}".lstrip("."), inner)
    else:
        yield key, value


def _dvc(stage: str) -> int | None:
    """The number of the DVC process that runs this stage; None where the system tells nothing of it.

    It is the nearest ancestor that has not been given the name of the stage: a shell may stand between.
    """
    process = os.getppid()
    try:
        while f"DVC_STAGE={stage}".encode() in _told(process, "environ").split(b"\0"):
            # The second of a process's fields, its name, may hold blanks and brackets; its parent is the fourth.
            process = int(_told(process, "stat").rpartition(b")")[2].split()[1])
        return process
    except (OSError, ValueError, IndexError):
        return None


def _told(process: int, what: str) -> bytes:
    with Path(f"/proc/{process}/{what}").open("rb") as told:
        return told.read(LARGEST)


def _remove_if_ended(kept: Path) -> None:
    """Take away what was kept for a reproduction that surely runs no more."""
    with suppress(BadInput):
        told = reading.from_json(reading.content(kept / PROCESS, reading.LARGEST_TEXT), str(kept))
        if isinstance(told, dict) and process_identity.is_dead(told):
            shutil.rmtree(kept, ignore_errors=True)
