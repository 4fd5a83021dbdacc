"""One process that has imported what the project's programs import from elsewhere, and forks for each of them.

Starting torch, MLflow and DVC again and again was most of what the tests did. `programs` returns a folder with
stand-ins for `python`, `denoise`, `dvc` and `mlflow`; first on PATH, they serve also what DVC, make and our own
commands start. The project's own package is not imported here: each program takes it from its own PYTHONPATH. What a
real process alone can show (kills, signals to process groups, start-up times) is tested with the real programs.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import logging
import os
import runpy
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

STANDING_IN = ("python", "python3", "denoise", "dvc", "mlflow")
IMPORTED = """
torch torch.export torch._dynamo torchvision.datasets safetensors.torch
dvc.analytics dvc.cachemgr dvc.cli.parser dvc.compare dvc.data_cloud dvc.lock dvc.repo dvc.repo.commit dvc.repo.graph
dvc.repo.index dvc.repo.reproduce dvc.repo.status dvc.rwlock dvc.stage.run dvc.repo.experiments.queue.celery
dvc.utils.strictyaml dvc_data.hashfile.status dvc_render dulwich.porcelain dulwich.worktree
fsspec.implementations.local fsspec.implementations.memory networkx
mlflow.pytorch mlflow.store.artifact.local_artifact_repo mlflow.store.tracking.sqlalchemy_workspace_store
mlflow.tracing.processor.otel mlflow.tracking.client opentelemetry.sdk.metrics.export
alembic.command alembic.config sqlalchemy.dialects.sqlite sqlalchemy.dialects.postgresql
PIL.PngImagePlugin email.headerregistry filelock jinja2 matplotlib.backends.backend_agg matplotlib.figure onnxruntime
pandas pandas.io.formats.csvs psutil pyarrow.pandas_compat pydantic.root_model ruamel.yaml scipy.stats tqdm
typer.rich_utils
"""


@functools.cache
def programs() -> Path:
    """The folder with the stand-ins. Their process is started once for all that run these tests, and ends with them."""
    # Of several workers of pytest-xdist, each is a child of the process that hands out the tests.
    owner = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    folder = _folder(owner)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            _start(folder, owner)
    return folder


def costs(owner: int) -> list[tuple[str, float]]:
    """The test and the CPU seconds of each program that was run for this owner's tests."""
    noted = _folder(owner) / "costs"
    return list(map(json.loads, noted.read_text().splitlines())) if noted.exists() else []


def _folder(owner: int) -> Path:
    return Path(tempfile.gettempdir()) / f"warm-{owner}-{os.getuid()}"


def _start(folder: Path, owner: int) -> None:
    folder.mkdir(mode=0o700)
    content = f"#!{sys.executable} -IS\n{Path(__file__).with_name('stand_in.py').read_text()}"
    for name in STANDING_IN:
        (folder / name).write_text(content)
        (folder / name).chmod(0o755)
    command = [sys.executable, "-I", __file__, str(folder), str(owner)]
    process = subprocess.Popen(
        command,
        env={name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))}
        | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with process.stdout as told:
        if not told.read(1):
            raise RuntimeError("the warm process did not come up")
    process.returncode = 0  # nobody waits for it


# The process itself


class Running(NamedTuple):
    """A program that runs: its process, and the connection to its stand-in."""

    process: int
    ended: int  # a descriptor that can be read when it has
    asker: socket.socket
    test: str  # that it runs for


def main(folder: Path, owner: int) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
        listening.listen(64)
        sys.path.insert(0, str(Path(__file__).parent))
        importlib.import_module("faulty")
        sys.path.pop(0)
        for name in IMPORTED.split():
            importlib.import_module(name)
        rehearse()
        logging.getLogger().handlers.clear()  # some import's, which no program has that does not make it
        for handler in logging.getLogger("mlflow").handlers:
            handler.addFilter(wanted)
        note(folder, "(the warm process)", time.process_time())
        gc.collect()
        gc.freeze()  # what is never looked at again is not copied for each child
        os.write(1, b"!")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            serve(listening, os.pidfd_open(owner), folder)
        finally:
            shutil.rmtree(folder)
            Path(f"{folder}.lock").unlink(missing_ok=True)


def rehearse() -> None:
    """Do once what programs do when they open a store or export a network for the first time."""
    torch = sys.modules["torch"]
    sys.modules["sqlalchemy.orm"].configure_mappers()
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.PixelShuffle(2))
    torch.export.export(network, (torch.zeros(2, 1, 4, 4),), dynamic_shapes=({0: torch.export.Dim("images")},))


def wanted(record: logging.LogRecord) -> bool:
    """MLflow looks when it is imported what its programs want to see; they say so later than that here."""
    return record.levelno >= logging.getLevelName(os.environ.get("MLFLOW_LOGGING_LEVEL", "INFO"))


def serve(listening: socket.socket, owner: int, folder: Path) -> None:
    """Run what is asked for until the owner has ended."""
    running, found_in = set(), list(sys.path)
    with selectors.DefaultSelector() as waiting:
        waiting.register(listening, selectors.EVENT_READ)
        waiting.register(owner, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                one = key.data
                if key.fileobj == owner:
                    for one in running:
                        end(one)
                    return
                if key.fileobj is listening:
                    if one := begin(listening.accept()[0], found_in):
                        running.add(one)
                        waiting.register(one.ended, selectors.EVENT_READ, one)
                        waiting.register(one.asker, selectors.EVENT_READ, one)
                elif one not in running:
                    continue
                elif key.fileobj == one.ended:
                    running.remove(one)
                    waiting.unregister(one.ended)
                    with contextlib.suppress(KeyError):
                        waiting.unregister(one.asker)
                    note(folder, one.test, answer(one))
                else:
                    with contextlib.suppress(OSError):
                        if number := one.asker.recv(1):
                            os.kill(one.process, number[0])
                            continue
                    waiting.unregister(one.asker)
                    end(one)


def note(folder: Path, test: str, cpu_s: float) -> None:
    """What `costs` reads."""
    with (folder / "costs").open("a") as written:
        written.write(f"{json.dumps([test, cpu_s])}\n")


def begin(asker: socket.socket, found_in: list[str]) -> Running | None:
    size, handed, *_ = socket.recv_fds(asker, 4, 3)
    content = b""
    while size and len(content) < struct.unpack("I", size)[0]:
        if not (more := asker.recv(1 << 16)):
            return None
        content += more
    asked = json.loads(content)
    process = os.fork()
    if process == 0:
        be(**asked, handed=handed, found_in=found_in)
    for descriptor in handed:
        os.close(descriptor)
    with contextlib.suppress(OSError):  # it has done it already, or has ended
        os.setpgid(process, process)
    return Running(process, os.pidfd_open(process), asker, asked["environment"].get("PYTEST_CURRENT_TEST", ""))


def end(one: Running) -> None:
    """End a program whose stand-in was killed; the stand-ins that it started end with it, and so do theirs."""
    os.killpg(one.process, signal.SIGKILL)


def answer(one: Running) -> float:
    """Tell the stand-in how it ended, and return the CPU seconds that it took with all that it waited for."""
    _, status, used = os.wait4(one.process, 0)
    with contextlib.suppress(ProcessLookupError):  # what it left behind would hold its output open
        os.killpg(one.process, signal.SIGKILL)
    with contextlib.suppress(OSError):
        one.asker.sendall(struct.pack("i", os.waitstatus_to_exitcode(status)))
    one.asker.close()
    os.close(one.ended)
    return used.ru_utime + used.ru_stime


# A child


def be(
    words: list[str],
    executable: str,
    folder: str,
    environment: dict[str, str],
    umask: int,
    ignored: list[int],
    parent: int,
    handed: list[int],
    found_in: list[str],
) -> None:
    """Be the program, and end."""
    status = 1
    try:
        os.setpgid(0, 0)
        for target, descriptor in enumerate(handed):
            os.dup2(descriptor, target)
            os.close(descriptor)
        os.chdir(folder)
        os.umask(umask)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            ours = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, signal.SIG_IGN if number in ignored else ours)
        os.environ.clear()
        os.environ.update(environment)
        os.getppid = lambda: parent
        sys.executable = executable
        sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in environment
        given = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
        sys.path[:] = ["", *given, *found_in]
        faults = os.environ.pop("WARM_FAULTS", None)
        status = run(words) if faults is None else sys.modules["faulty"].run(json.loads(faults), lambda: run(words))
    except BaseException:
        traceback.print_exc()
    finally:
        finish(status)


def run(words: list[str]) -> int:
    """Run `-c PROGRAM ...`, `-m MODULE ...` or `SCRIPT ...` as Python would, and return the exit status."""
    try:
        if words[0] == "-c":
            sys.argv = ["-c", *words[2:]]
            sys.modules["__main__"] = module = types.ModuleType("__main__")
            exec(compile(words[1], "<string>", "exec"), module.__dict__)
        elif words[0] == "-m":
            sys.argv = words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = words
            sys.path[0] = str(Path(words[0]).resolve().parent)
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return (ended.code or 0) & 0xFF
        print(ended.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        traceback.print_exc()
        return -signal.SIGINT
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def finish(status: int) -> None:
    """What Python does at its end."""
    try:
        threading._shutdown()
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        if status < 0:
            signal.signal(-status, signal.SIG_DFL)
            os.kill(os.getpid(), -status)
        os._exit(status)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
