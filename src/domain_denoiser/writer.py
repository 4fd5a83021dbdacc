"""One writer at a time: a stage that is started twice with the same words waits for its twin.

DVC lets no two `dvc repro` run a stage at once, but one that is killed leaves its stage running, and the next one would
start another beside it.
"""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

RUNNING = Path(".running")  # what is there only while a stage runs: locks and checkpoints


@contextmanager
def alone() -> Iterator[None]:
    """Hold the lock of this program and its words in this project; the lock of a process that dies is free."""
    name = hashlib.sha256("\0".join(sys.argv).encode()).hexdigest()[:12]
    lock = FileLock(RUNNING / f"{Path(sys.argv[0]).stem}-{name}.lock")
    RUNNING.mkdir(exist_ok=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"another process runs {' '.join(sys.argv)} here; waiting until it ends", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
