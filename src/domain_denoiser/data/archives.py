"""Files inside an untrusted archive: read from it, never extracted, within stated bounds."""

import tarfile
import tempfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

LARGEST_PACKAGE = 2**28  # bytes, uncompressed; the one with MNIST has 55 million
MOST_MEMBERS = 10_000


class Unfit(Exception):
    """Why an archive cannot be used."""


def members(package: Path, wanted: Collection[str], largest: int) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of the wanted files of a .tgz, as they come in it; each `largest` bytes at most.

    A name decides nothing but whether it is wanted: nothing is written to where it points. Links, devices and holes are
    no files. Raises Unfit if the package is none, has too much in it, or misses a wanted file.
    """
    missing = set(wanted)
    with tempfile.TemporaryFile() as unpacked:
        try:
            size = _uncompress(package, unpacked)
            with tarfile.open(fileobj=_Metered(unpacked, 2 * size + 2**20), mode="r:") as archive:
                for count, member in enumerate(archive):
                    if count == MOST_MEMBERS:
                        raise Unfit(f"it has more than {MOST_MEMBERS} members")
                    if member.name in missing:
                        if not member.isreg() or member.issparse() or member.size > largest:
                            raise Unfit(f"{member.name} is no plain file of {largest} bytes at most")
                        yield member.name, archive.extractfile(member).read()
                        missing.remove(member.name)
                    if not missing:
                        return
        except (Unfit, MemoryError):
            raise
        except Exception as error:  # tarfile lets through whatever the parsing of a header runs into
            raise Unfit(f"it is no archive: {error}") from error
    raise Unfit(f"it has no {', '.join(sorted(missing))}")


def _uncompress(package: Path, target: BinaryIO) -> int:
    reader = zlib.decompressobj(wbits=zlib.MAX_WBITS + 16)
    with package.open("rb") as packed:
        while not reader.eof and (block := reader.unconsumed_tail or packed.read(2**16)):
            target.write(reader.decompress(block, 2**20))
            if target.tell() > LARGEST_PACKAGE:
                raise Unfit(f"it has more than {LARGEST_PACKAGE} bytes")
    if not reader.eof:
        raise Unfit("it is cut off")
    size = target.tell()
    target.seek(0)
    return size


class _Metered:
    """A file of which only so many bytes are asked for: some headers make tarfile read for ever, or too much."""

    def __init__(self, file: BinaryIO, budget: int) -> None:
        self._file, self._left = file, budget
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int) -> bytes:
        self._left -= max(count, 1)
        if self._left < 0:
            raise Unfit("its headers claim more than it has")
        return self._file.read(count)
