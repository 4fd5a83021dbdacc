"""Files that anybody may have given: read up to a stated size, and never waited for."""

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from domain_denoiser.base.errors import BadInput

LARGEST_TEXT = 2**20  # bytes of a YAML or JSON file; those of this project have 40 thousand at most
LARGEST_TABLE = 2**28  # bytes of a CSV file; 10,000 images at six noise levels have 3 million


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file, to be read. Raises OSError if it cannot be opened, and BadInput if it is a pipe or a device."""
    # A pipe without a writer would be waited for, and a device may never end.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise BadInput(f"{path} is a pipe or a device, but a file is wanted")
        with open(handle, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(handle)


def content(path: Path, largest: int) -> bytes:
    """The bytes of a file. Raises BadInput if it cannot be read or has more than `largest` of them."""
    try:
        with opened(path) as file:
            # No more than there is: a read of so many bytes would set aside memory for all of them.
            found = file.read(min(largest, os.fstat(file.fileno()).st_size) + 1)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
    if len(found) > largest:
        raise BadInput(f"{path} has more than {largest} bytes")
    return found


def from_json(given: bytes, where: str) -> object:
    """What a JSON text holds; `where` opens the sentence of the BadInput if it is none.

    Stricter than Python's own: no key twice, no NaN, no infinity.
    """
    try:
        return json.loads(given, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} is not JSON: {error}") from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:100]!r} is there twice")
        found[key] = value
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")
