"""`denoise doctor`: each fault is made for real and named; nothing hangs, nothing secret is said."""

import contextlib
import json
import os
import re
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
from pipeline import Pipeline, clone
from servers import free_port

from domain_denoiser.operations import place
from domain_denoiser.operations.checks import Check
from domain_denoiser.operations.doctor import examine, machine, packages, repository, services, stores

SECRET = "pass-word"


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A project as somebody has it who has just cloned it and set it up."""
    made = clone(tmp_path_factory.mktemp("doctor") / "a project")
    made.run("git", "add", "-A")
    made.run("git", "commit", "-q", "-m", "A project")
    return made


@pytest.fixture
def project(healthy: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same as the working directory; what a test changes is put right behind it."""
    monkeypatch.chdir(healthy.root)
    monkeypatch.setattr(place, "code", lambda: healthy.root / "src/domain_denoiser")  # as if it ran there
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_TOKEN", "GIT_AUTHOR_NAME"):
        monkeypatch.delenv(name, raising=False)
    yield healthy.root
    healthy.run("git", "checkout", "-q", ".")
    healthy.run("git", "clean", "-q", "-fdx")


def about(look: examine.Look) -> Check:
    """What the doctor says of one thing in the working directory."""
    return examine.examined(look, Path.cwd())


def wrong() -> list[Check]:
    """All that the doctor objects to in the working directory."""
    return [check for check in examine.checks(Path.cwd()) if not check.fine]


def edit(path: str, old: str, new: str) -> None:
    content = Path(path).read_text()
    assert old in content
    Path(path).write_text(content.replace(old, new))


def configure(url: str, endpoint: str | None = None) -> None:
    """Make it DVC's default remote, as `dvc remote add` would."""
    more = "" if endpoint is None else f"    endpointurl = {endpoint}\n"
    Path(".dvc/config.local").write_text(f"[core]\n    remote = team\n['remote \"team\"']\n    url = {url}\n{more}")


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@contextlib.contextmanager
def answering_server(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *said: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_nothing_is_wrong_with_a_healthy_project(healthy: Pipeline, project: Path) -> None:
    done = healthy.run("denoise", "doctor", "--json")
    said = json.loads(done.stdout)
    assert said["fine"] is True
    assert {check["verdict"] for check in said["checks"]} <= {"ok", "note"}
    assert healthy.run("git", "status", "--porcelain").stdout == ""


def test_a_fault_is_a_line_with_its_mend_and_status_1(healthy: Pipeline, project: Path) -> None:
    edit("pyproject.toml", 'requires-python = ">=3.11"', 'requires-python = ">=3.99"')
    done = healthy.run("denoise", "doctor", check=False)
    assert done.returncode == 1
    [line] = [line for line in done.stdout.splitlines() if line.startswith("wrong")]
    assert re.fullmatch(r"wrong +Python 3\.\d+\.\d+\S*, but >=3\.99 is wanted; fix: .* make setup PYTHON=.*", line)


def test_another_version_of_a_package_is_named(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, version in (("tqdm", "1.0"), ("psutil", "0.1.dev1")):
        (tmp_path / f"{name}-{version}.dist-info").mkdir()
        (tmp_path / f"{name}-{version}.dist-info/METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(tmp_path)
    [check] = wrong()
    assert re.search(
        r"^2 of \d+ packages are not .*: psutil 0\.1\.dev1 instead of \d+\.\S+, tqdm 1\.0 instead", check.said
    )
    assert "make setup" in check.fix


def test_only_packages_for_this_machine_are_wanted(project: Path) -> None:
    lock = Path("requirements/all.lock")
    more = "nowhere-to-be-found==1.0 ; sys_platform == 'another' \\\n    --hash=sha256:00\n"
    lock.write_text(lock.read_text() + more)
    assert about(packages.installed).fine
    lock.write_text(lock.read_text() + more.replace("'another'", "'another' or python_version >= '3'"))
    assert "1 of" in about(packages.installed).said
    assert "nowhere-to-be-found is not installed" in about(packages.installed).said


def test_room_and_memory_are_measured(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("2000000000\n")
    (tmp_path / "memory.current").write_text("1900000000\n")
    (tmp_path / "memory.stat").write_text("anon 1900000000\ninactive_file 0\n")
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(machine, "DISK_GB", 1e9)
    assert about(machine.memory).said == "memory: 0.10 GB free, but the largest stage wants 1.5 GB"
    assert about(machine.disk).verdict == "wrong"
    (tmp_path / "memory.max").write_text("3399000000\n")  # rounded to the nearest it would be as much as is wanted
    assert about(machine.memory).said == "memory: 1.49 GB free, but the largest stage wants 1.5 GB"
    (tmp_path / "memory.max").write_text("2000000000\n")
    (tmp_path / "memory.stat").write_text("anon 100000000\ninactive_file 1800000000\n")  # files that were read
    assert about(machine.memory).fine
    (tmp_path / "memory.max").write_text("max\n")
    assert about(machine.memory).fine


def test_a_folder_that_takes_no_files_is_named(project: Path) -> None:
    Path("models").symlink_to("/proc")  # nobody can write there, root neither
    check = about(machine.writable)
    assert check.verdict == "wrong"
    assert f"{project}/models (" in check.said
    assert "/data" not in check.said


def test_more_threads_than_processors_is_worth_a_note(project: Path) -> None:
    edit("params.yaml", "threads: 2 ", "threads: 1024 ")
    check = about(machine.threads)
    assert check.verdict == "note"
    assert "asks for 1024" in check.said


def test_each_worker_has_threads_of_its_own(project: Path) -> None:
    edit("params.yaml", "threads: 2 ", "threads: 512 ")
    edit("params.yaml", "workers: 1 ", "workers: 2 ")
    assert "asks for 1024" in about(machine.threads).said


def test_cuda_is_there_or_is_missed(project: Path) -> None:
    edit("params.yaml", "device: cpu ", "device: cuda ")
    assert about(machine.device).fine is torch.cuda.is_available()


def test_params_that_cannot_be_read_are_a_sentence(project: Path) -> None:
    edit("params.yaml", "seed: 2018", "seed: many")
    [check] = wrong()
    assert check.said.startswith("params: params.yaml: seed is 'many', but ")
    for look in (machine.threads, machine.device):
        assert about(look).said == f"{look.__name__}: not looked at, as params.yaml is not valid"


def test_a_lock_that_was_cut_off_is_named(project: Path) -> None:
    Path("dvc.lock").write_text("schema: '2.0'\nstages:\n  train@fixed:\n    cmd: 'py")
    check = about(repository.lock)
    assert (check.verdict, check.fix) == ("wrong", "denoise recover")


def test_notes_of_dvc_that_another_user_has_made(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert about(machine.notes).fine
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", "/proc/of-another-user")  # nobody can write there, root neither
    check = about(machine.notes)
    assert check.verdict == "wrong" and "/proc/of-another-user" in check.said
    monkeypatch.delenv("DVC_SITE_CACHE_DIR")
    subprocess.run(check.fix, shell=True, check=True, env=os.environ | {"HOME": str(project / "home")})
    assert about(machine.notes).fine and list((project / "home").rglob("repo"))


NEWEST, KNOWN = stores.migrations()


def test_the_versions_of_stores_are_those_of_mlflow() -> None:
    from mlflow.store.db.utils import _get_latest_schema_revision

    assert _get_latest_schema_revision() == NEWEST and len(KNOWN) > 50


@pytest.mark.parametrize(
    ("version", "folder", "said", "fix"),
    [
        (NEWEST, ".", None, None),
        ("f00000000000", ".", "was made by a newer MLflow than is installed", "denoise sync --all-commits"),
        (min(KNOWN - {NEWEST}), ".", "was made by an older MLflow than is installed", "mlflow db upgrade"),
        (NEWEST, "/elsewhere", "this folder was moved or copied", "denoise sync --all-commits"),
    ],
)
def test_a_store_of_another_version_or_folder(
    project: Path, version: str, folder: str, said: str | None, fix: str | None
) -> None:
    with contextlib.closing(sqlite3.connect("mlflow.db")) as store:
        store.execute("CREATE TABLE alembic_version (version_num)")
        store.execute("INSERT INTO alembic_version VALUES (?)", [version])
        store.execute("CREATE TABLE experiments (name, artifact_location)")
        artifacts = (project / folder / "mlartifacts").as_uri()
        store.execute("INSERT INTO experiments VALUES ('mnist-denoising', ?)", [artifacts])
        store.commit()
    check = about(services.tracking)
    assert check.fine is (said is None)
    if said is not None:
        assert said in check.said and fix in check.fix


@pytest.mark.parametrize(("domain", "fine"), [("mnist", True), ("cells", False), ("no name!", True)])
def test_a_store_is_looked_at_for_the_domain_of_params_yaml(project: Path, domain: str, fine: bool) -> None:
    """Another domain's experiment in it keeps its files where it likes. Of an invalid name another line tells."""
    with contextlib.closing(sqlite3.connect("mlflow.db")) as store:
        store.execute("CREATE TABLE experiments (name, artifact_location)")
        here, elsewhere = ((folder / "mlartifacts").as_uri() for folder in (project, Path("/elsewhere")))
        rows = [("mnist-denoising", here), ("cells-denoising", elsewhere)]
        store.executemany("INSERT INTO experiments VALUES (?, ?)", rows)
        store.commit()
    edit("params.yaml", "name: mnist ", f"name: {domain} ")
    assert about(services.tracking).fine is fine
    assert about(machine.settings).fine is (domain != "no name!")


def test_git_itself_is_missed(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.setenv("PATH", str(tmp_path))
        assert about(repository.git).fix == "apt-get install git"


def test_a_project_without_repository_or_commit(
    healthy: Pipeline, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".git").rename(".elsewhere")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    assert "lies in no git repository" in about(repository.git).said
    healthy.run("git", "init", "-q")
    assert "there is no commit yet" in about(repository.git).said
    healthy.run("rm", "-rf", ".git")
    Path(".elsewhere").rename(".git")


def test_nobody_to_commit_as(healthy: Pipeline, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    for name in ("GIT_AUTHOR_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    assert about(repository.identity).fine
    healthy.run("git", "config", "--unset", "user.name")
    check = about(repository.identity)
    assert check.verdict == "wrong"
    healthy.run("sh", "-c", check.fix)
    assert about(repository.identity).said == "git: commits as Your Name <you@example.com>"


def test_a_remote_that_never_answers_is_not_waited_for(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "PATIENCE_S", 3)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, SECRET)
    with silent_server() as port:
        configure("s3://bucket/dvc", f"http://127.0.0.1:{port}")
        check = about(services.remote)
    assert check.verdict == "wrong"
    assert check.said == "DVC remote: no answer within 3 s"


def test_a_remote_in_a_folder(project: Path, tmp_path: Path) -> None:
    configure(str(tmp_path / "share"))
    assert about(services.remote).verdict == "note"
    (tmp_path / "share").mkdir()
    assert about(services.remote).said == f"DVC remote: team in {tmp_path}/share"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"ssh://somebody:{SECRET}@127.0.0.1/dvc", "requires 'dvc-ssh' to be installed"),
        (f"http://somebody:{SECRET}@127.0.0.1:1/dvc", "refused"),
    ],
)
def test_a_remote_that_cannot_be_reached(project: Path, url: str, reason: str) -> None:
    configure(url)
    check = about(services.remote)
    assert check.verdict == "wrong"
    assert reason in check.said
    assert SECRET not in check.line()


def test_a_password_in_an_error_is_not_said(project: Path) -> None:
    configure("s3://bucket/dvc", f"http://somebody:{SECRET}@127.0.0.1:none")
    assert "`http://***@127.0.0.1:none` was not a valid URI" in about(services.remote).said


@pytest.mark.parametrize("status", [200, 401])
def test_a_tracking_server_that_answers(project: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    with answering_server(status) as port:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://somebody:{SECRET}@127.0.0.1:{port}")
        check = about(services.tracking)
    assert check.fine is (status == 200)
    assert f"http://127.0.0.1:{port} answers" in check.said
    assert ("401" in check.said) is (status == 401)
    assert SECRET not in check.line()


@pytest.mark.parametrize("scheme", ["http", "postgresql+psycopg"])
def test_a_tracking_server_that_is_down(project: Path, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://somebody:{SECRET}@127.0.0.1:{free_port()}/mlflow")
    check = about(services.tracking)
    assert check.verdict == "wrong"
    assert "refused" in check.said
    assert SECRET not in check.line()


def test_a_tracking_server_that_never_answers_is_not_waited_for(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "PATIENCE_S", 1)
    with silent_server() as port:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        assert about(services.tracking).said == "tracking store: no answer within 1 s"


def test_a_store_that_cannot_be_written(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert about(services.tracking).fine
    Path("mlflow.db").write_bytes(b"nothing that SQLite knows, and long enough to look at" * 100)
    assert "file is not a database" in about(services.tracking).said
    Path("mlflow.db").unlink()
    with contextlib.closing(sqlite3.connect("mlflow.db")) as writing:
        writing.execute("CREATE TABLE something (value)")
        writing.execute("BEGIN IMMEDIATE")
        assert "database is locked" in about(services.tracking).said
        writing.rollback()
        assert about(services.tracking).said == f"tracking store: {project}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/nowhere/mlflow.db")
    assert "cannot be made" in about(services.tracking).said
