"""The hash of a file by its bytes: file mode, size and mtime are not trusted."""

import hashlib
import stat
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from domain_denoiser.base import processes


class Found(NamedTuple):
    """What was found at a path."""

    md5: str | None  # 32 hexadecimal digits; None if there are no bytes to be read
    problem: str  # why there are none; empty if there are
    size: int  # bytes

    @property
    def missing(self) -> bool:
        """Whether nothing is there at all."""
        return self == MISSING


MISSING = Found(None, "is missing", 0)


class Hashes:
    """The files that were read so far, each once."""

    def __init__(self) -> None:
        self._found: dict[Path, Found] = {}

    def read(self, paths: Iterable[Path]) -> None:
        """Read and hash files, as many at a time as there are processors."""
        new = [path for path in dict.fromkeys(paths) if path not in self._found]
        with ThreadPoolExecutor(processes.processors()) as threads:
            self._found |= zip(new, threads.map(find, new))

    def __getitem__(self, path: Path) -> Found:
        self.read([path])
        return self._found[path]


def find(path: Path) -> Found:
    """Read a file whole and hash it."""
    try:
        # What is no regular file is not opened: a pipe would wait for its writer, a device never ends.
        if not stat.S_ISREG(path.stat().st_mode):
            return Found(None, "is no file", 0)
        with path.open("rb") as opened:
            # The threads run side by side: Python's lock is open while a block is hashed.
            digest = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False))
            return Found(digest.hexdigest(), "", opened.tell())
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except OSError as error:
        return Found(None, f"cannot be read ({error.strerror})", 0)
