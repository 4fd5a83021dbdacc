"""What a DVC that was killed leaves half written: it writes its lists in place, not under a temporary name first."""

import hashlib
import json
from contextlib import AbstractContextManager
from pathlib import Path

from domain_denoiser import layout
from domain_denoiser.base import atomic, merging
from domain_denoiser.base.errors import BadInput
from domain_denoiser.base.parsing import parse
from domain_denoiser.evaluation.baselines import BASELINES
from domain_denoiser.runs import dvc_lock, revisions

BUSY = Path(".dvc/tmp/rwlock")  # which process of DVC reads and writes what
CUT_OFF = "was cut off, as DVC leaves it when it is killed while it writes it, and"


def fix() -> list[str]:
    """Put right what DVC could not read at its next start, in the working directory; a sentence on each.

    A dvc.lock that is cut off is taken from HEAD: DVC's run cache still has what was finished since.
    Raises BadInput if another DVC is at work on it, and for what only somebody can put right: both sides of a merge,
    or no git repository, without which DVC does nothing.
    """
    from dvc.lock import LockError
    from dvc.repo import Repo

    if revisions.repository() is None:
        raise revisions.NoRepository
    merging.refuse(*merging.LOCKS)
    told = []
    try:
        if _broken_list(BUSY):
            with _list_lock():
                if _broken_list(BUSY):
                    BUSY.unlink()
                    told.append(f"{BUSY} {CUT_OFF} is removed")
        for lock in filter(_broken_lock, merging.LOCKS):
            with Repo(".") as repo, repo.lock:
                if _broken_lock(lock):
                    told += _restored(lock)
    except LockError as error:
        raise BadInput("another DVC is at work here: run this again when it has ended") from error
    return told + _without_leftovers()


def _without_leftovers() -> list[str]:
    """Remove the tables of models and filters that params.yaml no longer names: `summarise` reads the whole folder."""
    params = Path(dvc_lock.PARAMS)
    if not params.exists():
        return []
    content = params.read_bytes()
    kept = {*BASELINES, *dvc_lock.filters(content, dvc_lock.PARAMS), *dvc_lock.models(content, dvc_lock.PARAMS)}
    leftovers = [path for path in sorted(layout.EVALUATION.glob("*.csv")) if path.stem not in kept]
    for path in leftovers:
        path.unlink()
    return [f"{path} is removed, as {params} has no such model or filter" for path in leftovers]


def _list_lock() -> AbstractContextManager[object]:
    """What DVC itself holds while it writes the list."""
    from dvc.lock import make_lock

    return make_lock(str(BUSY.with_suffix(".lock")), tmp_dir=str(BUSY.parent))


def _broken_list(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    return False


def _broken_lock(path: Path) -> bool:
    """Whether DVC refuses it; or we do, and it ends within a line, as no lock does that DVC has written to its end.

    One that ends between two entries lacks the rest, which DVC makes anew.
    """
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    if not path.exists():
        return False
    content = path.read_bytes()
    try:
        COMPILED_LOCKFILE_SCHEMA(parse(content, str(path)) or {})
    except (BadInput, Invalid):
        return True
    return not content.endswith(b"\n") and not _understood(content)


def _understood(content: bytes) -> bool:
    try:
        dvc_lock.locked(content, "dvc.lock")
    except BadInput:
        return False
    return True


def _restored(lock: Path) -> list[str]:
    """Put what HEAD has in its place, or nothing if HEAD has none; what it held is kept aside."""
    if revisions.head() is None:
        return []
    committed, cut_off = revisions.committed(str(lock)), lock.read_bytes()
    if committed == cut_off:
        return []
    kept = BUSY.with_name(f"{'-'.join(lock.parts)}.{hashlib.sha256(cut_off).hexdigest()[:8]}")
    with atomic.file(kept) as temporary:
        temporary.write_bytes(cut_off)
    if committed is None:
        lock.unlink()
        done = "is removed; the next `dvc repro` writes it anew"
    else:
        with atomic.file(lock) as temporary:
            temporary.write_bytes(committed)
        done = "is that of HEAD again; `dvc repro` brings the rest"
    return [f"{lock} {CUT_OFF} {done} (what it held: {kept})"]
