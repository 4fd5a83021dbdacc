import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from domain_denoiser.base import atomic


def test_file_replaces_the_old_one(tmp_path, tree):
    path = tmp_path / "new folder" / "table.csv"
    for text in ("first", "second"):
        with atomic.file(path) as temporary:
            temporary.write_text(text)
            assert not path.exists() or path.read_text() != text
    assert path.read_text() == "second"
    assert tree(tmp_path) == {"new folder", "new folder/table.csv"}


def test_file_stays_when_the_block_fails(tmp_path, tree):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half way"), atomic.file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    assert tree(tmp_path) == {"table.csv"}


def test_file_survives_a_killed_process(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    program = (
        "import os, signal, sys; from pathlib import Path; from domain_denoiser.base import atomic\n"
        "with atomic.file(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)])
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_permissions_are_what_the_umask_leaves(tmp_path, umask):
    with atomic.file(tmp_path / "below" / "table.csv") as temporary:
        temporary.write_text("")
    with atomic.together() as new:
        new(tmp_path / "other.csv").write_text("")
    with atomic.folder(tmp_path / "noisy") as temporary:
        (temporary / "first.npy").write_text("")
    for name in ("below/table.csv", "other.csv", "noisy/first.npy"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~umask
    for name in ("below", "noisy"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o777 & ~umask


KILLED = (
    "import os, signal, sys; from pathlib import Path; from domain_denoiser.base import atomic\n"
    "with atomic.{kind}(Path(sys.argv[1])) as temporary:\n"
    "    print('begun', flush=True); sys.stdin.read()"
)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_only_what_nobody_writes_any_more_is_cleared_away(tmp_path, kind, monkeypatch):
    """Another container may have given the number of the process that writes to none of ours, or to another one."""
    monkeypatch.setattr(os, "kill", lambda *_: (_ for _ in ()).throw(ProcessLookupError()))
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", KILLED.format(kind=kind), tmp_path / "first"]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as running:
        assert running.stdout.readline() == "begun\n"
        [left] = tmp_path.glob(f"{atomic.PREFIX}*")
        with atomic.file(tmp_path / "second.csv") as temporary:
            temporary.write_text("")
        assert left.exists()
        monkeypatch.undo()
        running.kill()
    with atomic.file(tmp_path / "third.csv") as temporary:
        temporary.write_text("")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["second.csv", "third.csv"]


def test_where_there_are_no_locks_nothing_is_cleared_away(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(atomic.fcntl, "flock", refuse)
    (tmp_path / f"{atomic.PREFIX}left").touch()
    with atomic.file(tmp_path / "table.csv") as temporary:
        temporary.write_text("")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{atomic.PREFIX}left", "table.csv"]


def test_file_takes_the_longest_name(tmp_path, tree):
    name = "x" * 251 + ".csv"
    with atomic.file(tmp_path / name) as temporary:
        temporary.write_text("whole")
    assert tree(tmp_path) == {name}


def test_folder_replaces_the_old_one(tmp_path, tree):
    path = tmp_path / "noisy"
    for name in ("first.npy", "second.npy"):
        with atomic.folder(path) as temporary:
            (temporary / "below").mkdir()
            (temporary / "below" / name).write_text(name)
            assert not (path / "below" / name).exists()
    assert tree(tmp_path) == {"noisy", "noisy/below", "noisy/below/second.npy"}


def test_folder_stays_when_the_block_fails(tmp_path, tree):
    path = tmp_path / "noisy"
    path.mkdir()
    (path / "old.npy").write_text("old")
    with pytest.raises(RuntimeError), atomic.folder(path) as temporary:
        (temporary / "half.npy").write_text("half")
        raise RuntimeError
    assert tree(tmp_path) == {"noisy", "noisy/old.npy"}


def test_folder_that_fails_first_is_not_there(tmp_path, tree):
    with pytest.raises(RuntimeError), atomic.folder(tmp_path / "noisy"):
        raise RuntimeError
    assert tree(tmp_path) == set()


def test_equal_values_give_equal_json(tmp_path):
    atomic.write_json(tmp_path / "a.json", {"x": 1, "y": [0.1]})
    atomic.write_json(tmp_path / "b.json", {"y": [0.1], "x": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_refuses_what_json_cannot_say(tmp_path, tree, value):
    with pytest.raises(ValueError):
        atomic.write_json(tmp_path / "a.json", {"x": value})
    assert tree(tmp_path) == set()


def test_files_take_their_places_together(tmp_path, tree):
    for text in ("first", "second"):
        with atomic.together() as new:
            for name in ("a.csv", "below/b.csv"):
                new(tmp_path / name).write_text(text)
            assert not (tmp_path / "a.csv").exists() or (tmp_path / "a.csv").read_text() != text
    assert [(tmp_path / name).read_text() for name in ("a.csv", "below/b.csv")] == ["second"] * 2
    assert tree(tmp_path) == {"a.csv", "below", "below/b.csv"}


def test_files_stay_together_when_the_last_one_fails(tmp_path, tree):
    (tmp_path / "a.csv").write_text("old")
    with pytest.raises(RuntimeError), atomic.together() as new:
        new(tmp_path / "a.csv").write_text("new")
        new(tmp_path / "b.csv").write_text("half")
        raise RuntimeError
    assert (tmp_path / "a.csv").read_text() == "old"
    assert tree(tmp_path) == {"a.csv"}


def test_an_error_names_the_file_and_not_its_temporary_name(tmp_path):
    with pytest.raises(OSError, match=r"No space left on device: '.*table.csv'"), atomic.file(tmp_path / "table.csv"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(FileNotFoundError, match="elsewhere"), atomic.file(tmp_path / "table.csv"):
        (tmp_path / "elsewhere").read_text()


def test_an_error_before_the_first_of_several_files_stays_as_it_is():
    with pytest.raises(OSError, match="No space left on device") as raised, atomic.together():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert raised.value.filename is None


def test_an_error_of_one_of_several_files_blames_no_other(tmp_path):
    def name(number: int, of: Callable[[Path], Path | None]) -> str | None:
        with pytest.raises(OSError) as raised, atomic.together() as new:
            first = new(tmp_path / "figures" / "first.png")
            new(tmp_path / "levels.csv")
            raise OSError(number, os.strerror(number), of(first))
        return raised.value.filename

    assert name(errno.EIO, lambda _: None) is None  # it may be of something that was read
    assert name(errno.ENOSPC, lambda _: None) == str(tmp_path)
    assert name(errno.EIO, lambda first: first) == str(tmp_path / "figures" / "first.png")
    assert name(errno.EIO, lambda _: tmp_path / "elsewhere.npy") == tmp_path / "elsewhere.npy"


def test_an_error_names_the_file_within_a_folder(tmp_path):
    with pytest.raises(OSError) as raised, atomic.folder(tmp_path / "noisy") as temporary:
        (temporary / "missing" / "first.npy").write_text("")
    assert raised.value.filename == str(tmp_path / "noisy" / "missing" / "first.npy")


def test_folder_that_is_closed_to_writing_is_replaced(tmp_path, tree):
    (tmp_path / "noisy").mkdir()
    (tmp_path / "noisy" / "old.npy").write_text("old")
    (tmp_path / "noisy").chmod(0o555)
    with atomic.folder(tmp_path / "noisy") as temporary:
        (temporary / "new.npy").write_text("new")
    assert tree(tmp_path) == {"noisy", "noisy/new.npy"}


def test_folder_comes_back_when_the_new_one_cannot_take_its_place(tmp_path, tree, monkeypatch):
    (tmp_path / "noisy").mkdir()
    (tmp_path / "noisy" / "old.npy").write_text("old")
    replace, calls = Path.replace, []

    def failing(path, target):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(OSError, match="Input/output error"), atomic.folder(tmp_path / "noisy") as temporary:
        (temporary / "new.npy").write_text("new")
    assert tree(tmp_path) == {"noisy", "noisy/old.npy"}


@pytest.mark.parametrize("kind", ["file", "together", "folder"])
def test_what_takes_its_place_is_on_the_disk_before(kind, tmp_path, monkeypatch):
    """Else a machine that loses its power may keep the new name, and none of the content."""
    flushed, real = [], os.fsync

    def fsync(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().read_text())
        assert not (tmp_path / "new").exists()
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    if kind == "folder":
        with atomic.folder(tmp_path / "new") as temporary:
            (temporary / "table.csv").write_text("whole")
    elif kind == "together":
        with atomic.together() as new:
            new(tmp_path / "new").write_text("whole")
    else:
        with atomic.file(tmp_path / "new") as temporary:
            temporary.write_text("whole")
    assert flushed == ["whole"]
    assert (tmp_path / "new").exists()
