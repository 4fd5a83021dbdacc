"""The process of its own that is connected to Ray, and what is said when Ray does not answer or ends."""

import importlib.util
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from domain_denoiser.base.errors import BadInput
from domain_denoiser.base.processes import Failed
from domain_denoiser.operations import ray_cluster
from domain_denoiser.operations.ray_cluster import Folders

PATIENCE_S = 120
ray_is_there = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: `make setup-scale` does that"
)


class OnlyThere(Exception):
    def __init__(self, one: str, other: str) -> None:
        super().__init__(one)


def three(folders: Folders, note: Path, then: str) -> Iterator[int]:
    try:
        yield from range(3)
        match then:
            case "bad input":
                raise BadInput("a sentence")
            case "machine":
                raise OSError(28, "No space left on device", "a file")
            case "connection":
                raise BrokenPipeError("Ray's own")
            case "other":
                raise OnlyThere("cannot be", "unpickled")
            case "killed":
                os._exit(1)
            case "waiting":
                time.sleep(PATIENCE_S)
    finally:
        note.write_text(str(os.getpid()))


def told(note: Path, then: str) -> list[int]:
    with ray_cluster.apart(three, note, then) as found:
        return list(found)


def test_what_another_process_yields_comes_here(tmp_path):
    note = tmp_path / "note"
    assert told(note, "end") == [0, 1, 2]
    assert int(note.read_text()) != os.getpid()


@pytest.mark.parametrize(
    ("then", "wanted", "said"),
    [
        ("bad input", BadInput, "a sentence"),
        ("machine", OSError, "No space left on device"),
        ("connection", Failed, "Ray ended: Ray's own"),
        ("other", RuntimeError, "OnlyThere: cannot be"),
        ("killed", Failed, "a process of Ray's own has ended"),
    ],
)
def test_how_it_ends_is_raised_here(tmp_path, then, wanted, said):
    with pytest.raises(wanted, match=said) as raised:
        told(tmp_path / "note", then)
    assert type(raised.value) is wanted


def test_it_ends_with_who_listens_and_clears_away(tmp_path):
    note = tmp_path / "note"
    with pytest.raises(KeyError), ray_cluster.apart(three, note, "waiting") as found:
        assert [next(found) for _ in range(3)] == [0, 1, 2]
        raise KeyError
    assert not psutil.pid_exists(int(note.read_text()))


def test_an_address_where_nothing_listens_is_a_sentence(monkeypatch, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Failed, match=f"Ray at '{address}' cannot be reached: .*refused"):
            ray_cluster._reached(address)
        started = tmp_path / "ray_current_cluster"
        monkeypatch.setattr(ray_cluster, "STARTED", started)
        with pytest.raises(Failed, match="no cluster of Ray was started on this machine"):
            ray_cluster._reached("auto")
        started.write_text(address)
        with pytest.raises(Failed, match=f"Ray at '{address}' cannot be reached"):
            ray_cluster._reached("auto")
        taken.listen()
        assert ray_cluster._reached(address) == ray_cluster._reached("auto") == address
    for wrong in ("ray://127.0.0.1:10001", "here", "", ":1"):
        with pytest.raises(BadInput, match=f"'{wrong}' is no cluster of Ray: local, auto or HOST:PORT is expected"):
            ray_cluster._reached(wrong)


def connected(folders: Folders) -> Iterator[int]:
    """The process of Ray's own that has a task, and then wait for the task."""
    os.environ["TMPDIR"] = folders.files
    with ray_cluster.connected(folders, ray_cluster.LOCAL, 1):
        import ray

        yield next(one.pid for one in psutil.Process().children(recursive=True) if one.name() == "raylet")
        ray.get(ray.remote(lambda: time.sleep(PATIENCE_S)).remote())


@ray_is_there
@pytest.mark.services
def test_when_a_process_of_rays_own_ends_there_is_a_sentence():
    with (
        pytest.raises(Failed, match="a process of Ray's own has ended|Ray ended: .*raylet died"),
        ray_cluster.apart(connected) as found,
    ):
        raylet = psutil.Process(next(found))
        others, folders = raylet.parent().children(recursive=True), own_folders(raylet)
        raylet.kill()
        next(found)
    gone, left = psutil.wait_procs(others, PATIENCE_S)
    assert not left and not any(map(Path.exists, folders))


@ray_is_there
@pytest.mark.services
def test_nothing_of_it_is_left_in_the_folder_of_temporary_files():
    with suppress(KeyError), ray_cluster.apart(connected) as found:
        folders = own_folders(psutil.Process(next(found)))
        raise KeyError
    assert not any(map(Path.exists, folders))


def listen() -> None:
    """In a process that is killed: say which folders there are, and wait."""
    with ray_cluster.apart(connected) as found:
        print(*own_folders(psutil.Process(next(found))), flush=True)
        next(found)


@ray_is_there
@pytest.mark.services
def test_nor_if_the_one_that_listens_is_killed():
    program = "import test_ray_cluster; test_ray_cluster.listen()"
    environment = os.environ | {"PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{os.environ['PYTHONPATH']}"}
    words = (sys.executable, "-c", program)
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as listening:
        folders = [Path(word) for word in listening.stdout.readline().split()]
        assert len(folders) == 2
        listening.kill()
    deadline = time.monotonic() + PATIENCE_S
    while any(map(Path.exists, folders)):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def own_folders(raylet: psutil.Process) -> list[Path]:
    """That of its cluster, and that of all its processes for temporary files."""
    [own] = set(re.findall(r"/tmp/denoise-\w+", " ".join(raylet.cmdline())))
    found = [Path(own), Path(raylet.environ()["TMPDIR"])]
    assert found[0] != found[1] and all(map(Path.is_dir, found))
    return found
