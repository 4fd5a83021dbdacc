"""`denoise restore --ray`: the same bytes and the same messages as without it, each output once, whatever is killed."""

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import domain_profiles
import graph_files
import numpy as np
import psutil
import pytest
import servers
import tifffile
from PIL import Image

from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations.restoring import cluster, command, manifest, s3
from domain_denoiser.operations.restoring.command import Options
from domain_denoiser.runtime.scale import Scale

PLAIN = Options(None, None, Scale(), None, skip_existing=False, dry_run=False, strict=False)
MANIFEST = Path("out.manifest.jsonl")
DENOISE = (sys.executable, "-c", "from domain_denoiser.cli import main; main()", "restore")
PATIENCE_S = 300
ray_is_there = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: `make setup-scale` does that"
)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, digits: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its champion knows what digits look like; the working directory is another one."""
    root = graph_files.project(tmp_path / "project")
    profile = domain_profiles.of(digits[:100], domain_profiles.negative)
    (root / "champion/model.onnx").write_bytes(graph_files.negative(profile=profile))
    (tmp_path / "given").mkdir()
    monkeypatch.chdir(tmp_path / "given")
    return root


@pytest.fixture
def mixed(digits: np.ndarray) -> None:
    """A folder of many kinds of files, some broken, some foreign to the champion."""
    noisy = (domain_profiles.with_noise(digits[100:], 0.3, 2) * 255).round().astype(np.uint8)
    for folder in ("in/sub/deep", "in/foreign"):
        Path(folder).mkdir(parents=True)
    for index in range(12):
        Image.fromarray(noisy[index]).save(f"in/{'sub/deep/' if index % 3 else ''}{index}.png")
        Image.fromarray(255 - noisy[index]).save(f"in/foreign/{index}.png")
        Image.fromarray(np.stack([noisy[index]] * 3, axis=2)).save(f"in/sub/colour {index}.bmp")
    Image.fromarray(noisy[20]).save("in/photo.jpg")
    Image.fromarray(noisy[21]).save("in/named.jpg", format="PNG")
    np.save("in/many.npy", noisy[30:40] / np.float32(255))
    tifffile.imwrite("in/pages.tif", noisy[40:43], photometric="minisblack")
    Path(os.fsdecode(b"in/\xff.png")).write_bytes(Path("in/0.png").read_bytes())  # a name that is no Unicode
    Path("in/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    Path("in/text.png").write_text("no picture")
    Path("in/README.txt").write_text("no picture either")
    Path("in/link.png").symlink_to("/etc/passwd")


@pytest.fixture
def without_processes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What a process of Ray does is done here, two files at a time; how many there were each time."""
    asked = []

    @contextlib.contextmanager
    def rows(chosen, items, options) -> Iterator[Iterator[dict]]:
        asked.append(len(items))
        given = [json.dumps((str(job.path), str(job.place), there)) for job, there in items]
        worker = cluster.Worker(chosen, options.scale, options.strict, Path.cwd())
        blocks = ({"item": np.array(given[start : start + 2])} for start in range(0, len(given), 2))
        yield (cluster._checked(json.loads(row)) for block in blocks for row in worker(block)["row"])

    monkeypatch.setattr(cluster, "_rows", rows)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    return asked


def contents(folder: str) -> dict[str, bytes]:
    """Every file in a folder, and what it holds."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def lines() -> list[dict]:
    return [json.loads(line) for line in MANIFEST.read_text().splitlines()]


def restore(project: Path, *words: str, **options: object) -> command.Outcome:
    *sources, target = map(Path, words)
    return command.run(sources, target, PLAIN._replace(project=project, **options))


def started(*words: str, environment: dict[str, str] = {}) -> subprocess.Popen:
    given = servers.environment(**environment)
    return subprocess.Popen([*DENOISE, *words], env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(running: subprocess.Popen) -> tuple[int, str, list[str]]:
    """Exit status, standard output, and the lines of standard error but for those on how far it is."""
    out, err = running.communicate(timeout=PATIENCE_S)
    return running.returncode, out, [line for line in err.splitlines() if not line.startswith("restoring: ")]


def assert_the_manifest_tells(outputs: dict[str, bytes], broken: list[str]) -> None:
    done = {line["output"]: line["sha256"] for line in lines() if line["error"] is None}
    assert done == {f"out/{name}": hashlib.sha256(content).hexdigest() for name, content in outputs.items()}
    assert sorted(line["error"] for line in lines() if line["error"] is not None) == sorted(broken)


# Without Ray


def test_without_ray_one_sentence_says_how_to_get_it(project, monkeypatch, mixed, tree):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput) as raised:
        restore(project, "in", "out", ray="local")
    wanted = "--ray needs Ray: `make setup-scale` in a clone, or pip install 'domain-denoiser[scale]'"
    assert str(raised.value) == wanted
    assert not Path("out").exists() and not MANIFEST.exists()


@pytest.mark.parametrize(
    ("words", "options", "wanted"),
    [
        (("in", "out"), {"workers": 2}, "--workers is about the processes of Ray: it goes with --ray"),
        (("s3://b/in", "out"), {}, "s3://b/in is on S3, from and to which --ray restores"),
        (("in", "s3://b/out"), {}, "s3://b/out is on S3, from and to which --ray restores"),
        (("in", "out"), {"ray": "local", "threads": 2}, "each process has one thread: --workers says how many"),
        (
            ("in", "s3://b/out"),
            {"ray": "local", "dry_run": True},
            "--dry-run reads the headers of files of this machine",
        ),
        (("s3://", "out"), {"ray": "local"}, "s3:// has no bucket"),
        (("s3://b/in", "in", "out"), {"ray": "local"}, "one input at a time goes from or to S3, but there are 2"),
    ],
)
def test_what_does_not_go_together(project, mixed, without_processes, words, options, wanted):
    with pytest.raises(BadInput, match=wanted):
        restore(project, *words, **options)
    assert not Path("out").exists()


@pytest.mark.parametrize("options", [{}, {"strict": True}, {"scale": Scale(invert=True)}], ids=str)
def test_bytes_and_messages_are_those_of_the_plain_command(project, mixed, without_processes, capsys, options):
    plain = restore(project, "in", "plain", **options)
    said = capsys.readouterr().err
    by_ray = restore(project, "in", "out", ray="local", **options)
    assert capsys.readouterr().err == said != ""
    assert contents("out") == contents("plain") != {}
    assert sorted(by_ray.broken) == sorted(plain.broken) and len(plain.broken) >= 3
    assert by_ray.lines == [line.replace("plain", "out") for line in plain.lines]
    assert_the_manifest_tells(contents("out"), by_ray.broken)


def test_going_on_restores_what_is_not_there_and_tells_of_what_is(project, mixed, without_processes):
    first = restore(project, "in", "out", ray="local")
    whole, told = contents("out"), lines()
    with pytest.raises(BadInput, match="out is there already: .* --skip-existing"):
        restore(project, "in", "out", ray="local")
    Path("out/0.png").unlink()
    # Killed in the middle of a line; the outputs of the two before have no line either.
    MANIFEST.write_text("".join(f"{json.dumps(line)}\n" for line in told[:-3]) + '{"input": "in/')
    again = restore(project, "in", "out", ray="local", skip_existing=True)
    assert again.lines[0].startswith("1 image restored") and f"({len(whole) - 1} there already" in again.lines[0]
    assert contents("out") == whole
    assert (
        without_processes[1] == 1 + 3 + len([line for line in told if line["error"]]) - 1
    )  # broken ones, but the link
    outputs = {line["output"] for line in lines() if line["error"] is None}
    assert outputs == {f"out/{name}" for name in whole}
    assert sorted(again.broken) == sorted(first.broken)
    restore(project, "in", "out", ray="local", skip_existing=True)
    assert contents("out") == whole


def test_what_is_there_is_left_as_it_is(project, mixed, without_processes):
    Path("out").mkdir()
    Path("out/0.png").write_bytes(b"mine")
    restore(project, "in", "out", ray="local", skip_existing=True)
    assert Path("out/0.png").read_bytes() == b"mine"
    [line] = [line for line in lines() if line["output"] == "out/0.png"]
    assert (line["sha256"], line["error"]) == (hashlib.sha256(b"mine").hexdigest(), None)


def test_a_place_that_cannot_be_written_to_ends_it(project, mixed, without_processes):
    Path("file").write_text("no folder")
    with pytest.raises(BadInput, match="^file/restored.manifest.jsonl cannot be written: "):
        restore(project, "in", "file/restored", ray="local")
    Path("out").mkdir()
    Path("out/sub").write_text("no folder")
    with pytest.raises(BadInput, match="^out/sub/[^:]* cannot be written: "):
        restore(project, "in", "out", ray="local", skip_existing=True)


def test_two_at_a_time_do_not_write_one_manifest(project, mixed, without_processes):
    with MANIFEST.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BadInput, match="another process restores into the same output"):
            restore(project, "in", "out", ray="local")
    assert not Path("out").exists()


@pytest.mark.parametrize("content", ["text\n", "[]\n", '{"output": "out/1.png"}\n', "not even a line"])
def test_a_file_that_is_no_manifest_is_left_alone(project, mixed, without_processes, content):
    MANIFEST.write_text(content)
    with pytest.raises(BadInput, match="line 1 of out.manifest.jsonl"):
        restore(project, "in", "out", ray="local")
    assert MANIFEST.read_text() == content


def test_the_last_line_on_an_output_counts():
    with manifest.opened(MANIFEST) as (_, _, write):
        for output, error in (("a", "broken"), ("b", None), ("a", None), ("b", "broken")):
            write({"output": output, "error": error})
    with manifest.opened(MANIFEST) as (done, _, _):
        assert done == {"a"}


def test_starting_again_says_no_more_of_an_input_without_an_output(project, mixed, without_processes):
    restore(project, "in", "out", ray="local")
    Path("in/text.png").replace("in/0 text.png")
    before = [line for line in lines() if line["output"] is None]
    restore(project, "in", "out", ray="local", skip_existing=True)
    restore(project, "in", "out", ray="local", skip_existing=True)
    after = [line for line in lines() if line["output"] is None]
    assert before and len(after) == len({line["error"] for line in after})


@pytest.mark.parametrize(
    ("target", "wanted"),
    [("out", "out.manifest.jsonl"), ("a/out", "a/out.manifest.jsonl"), ("s3://b/x-out", "b%2Fx-out.manifest.jsonl")],
)
def test_where_the_manifest_is(target, wanted):
    assert manifest.place(s3.place(Path(target))) == Path(wanted)


class Bucket:
    """A client of S3 that lists these names."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def find(self, folder: str) -> list[str]:
        return [f"b/in/{name}" for name in self.names]

    def cat_ranges(self, paths: list[str], start: int, end: int, on_error: str) -> list[bytes | Exception]:
        return [b"\x89PNG\r\n\x1a\nnothing"[:end] if path.endswith(".png") else OSError() for path in paths]


def test_names_on_s3_lead_out_of_no_folder():
    names = ("../1.png", "a/../../1.png", "/etc/1.png", "a//1.png", "a/./1.png", "a\0.png", "..", "fine/1.png")
    found = s3._found(Bucket(*names, ".hidden/1.png", ".hidden/2.png", "1.txt"), s3.Address("b/in"))
    assert [(str(file.path), file.within) for file in found.files] == [("s3://b/in/fine/1.png", Path("fine/1.png"))]
    assert len(found.broken) == len(names) - 1
    assert found.skipped == 2


def test_what_marks_a_folder_on_s3_is_no_file():
    marked = s3._found(Bucket("", "sub/", "sub/1.png"), s3.Address("b/in"))
    assert ([file.within for file in marked.files], marked.broken, marked.skipped) == ([Path("sub/1.png")], [], 0)


def test_an_object_that_is_named_as_a_folder_is_broken():
    found = s3._found(Bucket("1.png", "1.png/2.png", "3.png"), s3.Address("b/in"))
    assert [file.within for file in found.files] == [Path("1.png/2.png"), Path("3.png")]
    assert found.broken == ["s3://b/in/1.png is also the name of a folder"]


def test_an_object_is_no_folder():
    with pytest.raises(BadInput, match="^s3://b/in/1.png is an object, but must be a folder"):
        s3._found(Bucket("1.png"), s3.Address("b/in/1.png"))


# With Ray


@ray_is_there
@pytest.mark.services
def test_processes_of_ray_give_the_bytes_of_one(project, mixed):
    where = ("--project", str(project), "in")
    plain = ended(started(*where, "plain"))
    running = started("--ray", "local", "--workers", "2", *where, "out")
    by_ray = ended(running)
    assert (by_ray[0], by_ray[1]) == (1, plain[1].replace("plain", "out"))
    assert sorted(by_ray[2]) == sorted(plain[2])
    assert any("broken.png is not a whole PNG" in line for line in plain[2])
    assert contents("out") == contents("plain")
    assert_the_manifest_tells(
        contents("out"), [line.removeprefix("not restored: ") for line in by_ray[2] if "not restored" in line]
    )


def listening(process: psutil.Process) -> set[str]:
    """The addresses where a process and those that it started listen."""
    found = set()
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {at.laddr.ip for at in one.net_connections("tcp") if at.status == psutil.CONN_LISTEN}
    return found


@ray_is_there
@pytest.mark.services
def test_killed_in_the_middle_it_goes_on(project, digits):
    Path("in").mkdir()
    for index in range(3000):
        Image.fromarray(np.roll(digits[index % 200], index // 200, axis=0)).save(f"in/{index}.png")
    words = ("--project", str(project), "--ray", "local", "--workers", "2", "in", "out")
    running = started(*words)
    family, addresses = set(), set()
    deadline = time.monotonic() + PATIENCE_S
    while len(list(Path("out").glob("*.png"))) < 300:
        assert running.poll() is None and time.monotonic() < deadline
        family |= set(psutil.Process(running.pid).children(recursive=True))
        addresses |= listening(psutil.Process(running.pid))
        time.sleep(0.05)
    running.kill()
    running.communicate()
    assert psutil.wait_procs(family, timeout=PATIENCE_S)[1] == []
    assert {address.removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}
    before = {path: path.stat() for path in Path("out").glob("*.png")}
    assert 300 <= len(before) < 3000
    status, said, _ = ended(started("--skip-existing", *words))
    assert (status, said.split(" ")[0]) == (0, str(3000 - len(before)))
    assert all(
        (path.stat().st_ino, path.stat().st_mtime_ns) == (then.st_ino, then.st_mtime_ns)
        for path, then in before.items()
    )
    restore(project, "in", "plain")
    assert contents("out") == contents("plain")
    outputs = [line["output"] for line in lines()]
    assert len(outputs) == len(set(outputs)) == 3000
    assert_the_manifest_tells(contents("out"), [])


@ray_is_there
@pytest.mark.services
def test_an_image_that_ends_its_process_costs_its_task(project, digits, tmp_path):
    """As one does that a decoder in C stumbles over; the others are restored, and it is not tried for ever."""
    (tmp_path / "first").mkdir()
    (tmp_path / "first/sitecustomize.py").write_text(
        "import os\nfrom domain_denoiser.formats import opening\nopened = opening.opened\n"
        "opening.opened = lambda path, *more: os._exit(1) if path.name == 'deadly.png' else opened(path, *more)\n"
    )
    Path("in").mkdir()
    for name in ("1", "2", "deadly", "3", "4"):
        Image.fromarray(digits[0]).save(f"in/{name}.png")
    changed = {"PYTHONPATH": f"{tmp_path}/first:{os.environ['PYTHONPATH']}"}
    words = ("--project", str(project), "--ray", "local", "--workers", "1", "in", "out")
    status, said, errors = ended(started(*words, environment=changed))
    assert (status, said.split(" ")[0]) == (1, "4")
    assert [line for line in errors if line.startswith("not restored")] == [
        "not restored: in/deadly.png or a file beside it ended the process that restored it, 4 times"
    ]
    assert contents("out").keys() == {"1.png", "2.png", "3.png", "4.png"}


@ray_is_there
@pytest.mark.services
def test_ctrl_c_ends_all_of_it(project, digits):
    Path("in").mkdir()
    for index in range(3000):
        Image.fromarray(digits[index % 200]).save(f"in/{index}.png")
    running = started("--project", str(project), "--ray", "local", "--workers", "2", "in", "out")
    deadline = time.monotonic() + PATIENCE_S
    while not list(Path("out").glob("*.png")):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    family = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(signal.SIGTERM)
    status, _, said = ended(running)
    assert (status, said) == (143, ["error: stopped by SIGTERM"])
    assert psutil.wait_procs(family, timeout=PATIENCE_S)[1] == []


@ray_is_there
@pytest.mark.services
def test_from_and_to_s3(project, mixed, tmp_path):
    restore(project, "in", "plain")
    bucket = f"s3://{servers.BUCKET}"
    with servers.s3(tmp_path) as url:
        environment = servers.S3_KEYS | {"AWS_ENDPOINT_URL": url}
        import s3fs

        client = s3fs.S3FileSystem(key="test", secret="test", endpoint_url=url, skip_instance_cache=True)
        for name, content in contents("in").items():
            if "\udcff" not in name and name != "link.png":
                client.pipe_file(f"{servers.BUCKET}/in/{name}", content)
        words = ("--project", str(project), "--ray", "local", "--workers", "2", f"{bucket}/in", f"{bucket}/out")
        status, said, errors = ended(started(*words, environment=environment))
        found = {
            name.removeprefix(f"{servers.BUCKET}/out/"): client.cat_file(name)
            for name in client.find(f"{servers.BUCKET}/out")
        }
        again = ended(started(*words, environment=environment))
        more = ended(started("--skip-existing", *words, environment=environment))
        for source, target in ((f"{bucket}/out", "here"), ("here", f"{bucket}/back")):
            one_way = ("--project", str(project), "--ray", "local", source, target)
            assert ended(started(*one_way, environment=environment))[0] == 0
        back = {name.removeprefix(f"{servers.BUCKET}/back/") for name in client.find(f"{servers.BUCKET}/back")}
        assert contents("here").keys() == back == found.keys()
    expected = contents("plain")
    del expected[os.fsdecode(b"\xff.png")]
    assert found == expected
    assert (
        status == 1
        and said == f"{len(expected) + 9 + 2} images restored by the champion: {bucket}/out (1 other file skipped)\n"
    )
    broken = [line for line in errors if line.startswith("not restored")]
    assert sorted(line.split(" ")[2] for line in broken) == [f"{bucket}/in/broken.png", f"{bucket}/in/text.png"]
    assert any(f"in {bucket}/in/foreign, " in line and "try --invert" in line for line in errors)
    assert again[0] == 2 and again[2][0].startswith(f"error: {bucket}/out is there already")
    assert more[1].startswith(f"0 images restored by the champion: {bucket}/out ({len(expected)} there already")
