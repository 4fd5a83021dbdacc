"""One writer at a time: a stage that is started twice with the same words waits for its twin.

DVC lets no two `dvc repro` run a stage at once, but one that is killed leaves its stage running, and the next one would
start another beside it.
"""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from domain_denoiser.base import atomic, reproduction
from domain_denoiser.base.errors import BadInput

RUNNING = Path(".running")  # what is there only while a stage runs: locks and checkpoints


@contextmanager
def alone() -> Iterator[None]:
    """Hold the lock of this program and its words in this project; the lock of a process that dies is free.

    Of several that wait, the last one goes on: the others are orphans of killed reproductions, and would write again
    what DVC has looked at already. Raises BadInput in those, and if the params changed since the reproduction began.
    """
    words, digest = " ".join(sys.argv), hashlib.sha256("\0".join(sys.argv).encode()).hexdigest()
    place = RUNNING / f"{Path(sys.argv[0]).stem}-{digest[:12]}"
    lock, newest, mine = FileLock(place.with_suffix(".lock")), place.with_suffix(".newest"), uuid4().hex
    with atomic.passing_file(newest) as temporary:
        temporary.write_text(mine)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"another process runs {words} here; waiting until it ends", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        if newest.read_text() != mine:
            raise BadInput(f"another process has come since and runs {words} here; this one wrote nothing")
        with reproduction.unchanged(RUNNING):
            yield
    finally:
        lock.release()
