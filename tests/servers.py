"""Real servers for tests: PostgreSQL, S3 storage, MLflow and a model of it, each in a process group that ends with the
test.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

PROGRAMS = Path(sys.executable).parent
PASSWORD = "only-in-this-test"
# The storage asks for no real key, but its client wants to have one.
S3_KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
BUCKET = "mlflow"
PATIENCE_S = 60  # a server that is not up by then never will be, however busy the machine is


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's own programs; Debian keeps it off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


def environment(**extra: str) -> dict[str, str]:
    """This process's environment without what would steer MLflow, S3 or PostgreSQL elsewhere."""
    steering = ("MLFLOW_", "AWS_", "PG", "DVC_")
    return {name: value for name, value in os.environ.items() if not name.startswith(steering)} | {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **extra,
    }


@contextlib.contextmanager
def postgres(programs: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A fresh PostgreSQL behind a Unix socket; yields MLflow's URI for it and the environment with the password."""
    # Not pytest's folder: that is closed to the other user whom PostgreSQL demands in root's place.
    with tempfile.TemporaryDirectory() as folder:
        user = "postgres" if os.getuid() == 0 else None
        if user:
            shutil.chown(folder, user, user)
        (Path(folder) / "password").write_text(PASSWORD)
        (Path(folder) / "password").chmod(0o644)  # the folder itself is closed to others
        subprocess.run(
            [
                programs / "initdb",
                "--pgdata",
                f"{folder}/data",
                "--username",
                "mlflow",
                "--pwfile",
                f"{folder}/password",
            ]
            + ["--auth", "scram-sha-256", "--no-sync", "--no-locale", "--encoding", "UTF8"],
            user=user,
            group=user,
            extra_groups=[] if user else None,
            env=environment(),
            cwd=folder,
            check=True,
            capture_output=True,
        )
        command = [programs / "postgres", "-D", f"{folder}/data", "-k", folder, "-c", "listen_addresses=", "-F"]
        with running(command, Path(folder), lambda: _answers_socket(f"{folder}/.s.PGSQL.5432"), user=user):
            yield f"postgresql+psycopg://mlflow@/postgres?host={folder}", {"PGPASSWORD": PASSWORD}


@contextlib.contextmanager
def s3(folder: Path) -> Iterator[str]:
    """An S3 server with one empty bucket; yields its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running([PROGRAMS / "moto_server", "-H", "127.0.0.1", "-p", str(port)], folder, lambda: _answers(url)):
        urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT")).close()
        yield url


@contextlib.contextmanager
def mlflow(folder: Path, store: str, artifacts: str, extra: Mapping[str, str] = {}) -> Iterator[str]:
    """An MLflow server, as `make ui` starts it, working in `folder`; yields its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [PROGRAMS / "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", store, "--artifacts-destination", artifacts]
    env = environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false", **extra)
    with running(command, folder, lambda: _answers(f"{url}/health"), env=env):
        yield url


@contextlib.contextmanager
def model(folder: Path, uri: str) -> Iterator[str]:
    """A model of the store in `folder`, as docs/serving.md says to start it; yields its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [PROGRAMS / "mlflow", "models", "serve", "-m", uri, "--env-manager", "local", "--port", str(port)]
    env = environment(MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false")
    with running(command, folder, lambda: _answers(f"{url}/ping"), env=env):
        yield url


@contextlib.contextmanager
def running(
    command: list[str | Path],
    folder: Path,
    ready: Callable[[], bool],
    env: Mapping[str, str] | None = None,
    user: str | None = None,
) -> Iterator[None]:
    """Run a server from when it is ready until the block ends, however it ends; then no process of its group is left.

    The error of a server that does not come up holds what it wrote.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment() if env is None else env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=[] if user else None,
        )
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"{Path(command[0]).name} did not come up: {log.read().decode()[-3000:]}")
                time.sleep(0.05)
            yield
        finally:
            _end_group(process)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _end_group(process: subprocess.Popen) -> None:
    """Ask the leader to end its own children, and kill whatever is left of the group."""
    process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown; Ctrl-C for the others
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True  # it answers, if only that it minds
    except OSError:
        return False
    return True


def _answers_socket(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0
