"""A cluster of Ray: of this machine alone, or one that is there already."""

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, TypeVar

from domain_denoiser.base import signals
from domain_denoiser.base.errors import BadInput
from domain_denoiser.base.processes import Failed

Said = TypeVar("Said")

LOCAL = "local"  # Ray's word for a cluster of this machine alone, which ends with this process
AUTO = "auto"  # Ray's word for the cluster that this machine is a part of
STARTED = Path("/tmp/ray/ray_current_cluster")  # where `ray start` writes its address
ANSWER_S = 10.0  # for the machine of another cluster to take a connection
STARTS = 4  # at most: Ray gives each 30 s, too little on a machine that is busy
END_S = 60.0  # for Ray to end
STORE = 2**27  # bytes of Ray's own memory: images do not go through it
# Ray must listen on the loopback address alone, which it does where it believes that there are no clusters; to nobody
# without the token, as other people of this machine could reach it; and tell nobody that it was started.
ALONE = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
}


class Folders(NamedTuple):
    """They end with the two processes, whichever of them is killed."""

    own: str  # of Ray. Not in TMPDIR: the path of a socket in it may have 107 bytes at most
    files: str  # for temporary files of processes that Ray kills as they write


def require(what: str) -> None:
    """Raises BadInput if the extra `scale` is not installed. what: that needs it."""
    if importlib.util.find_spec("ray") is None or importlib.util.find_spec("s3fs") is None:
        raise BadInput(f"{what} needs Ray: `make setup-scale` in a clone, or pip install 'domain-denoiser[scale]'")


@contextmanager
def apart(work: Callable[..., Iterator[Said]], *arguments: object) -> Iterator[Iterator[Said]]:
    """Yield what the generator `work` yields in a process of its own, where it may be `connected`.

    When a process of Ray's own ends, the one that is connected ends too, without a word: that must not be this one.
    It ends before the block does, and with this process, however that ends. work is called with Folders and the
    arguments; all can be pickled.

    Raises what `work` raises, and Failed if its process ends.
    """
    here, there = get_context("spawn").Pipe()
    with (
        tempfile.TemporaryDirectory(prefix="denoise-", dir="/tmp", ignore_cleanup_errors=True) as own,
        tempfile.TemporaryDirectory(prefix="denoise-", ignore_cleanup_errors=True) as files,
    ):
        process = get_context("spawn").Process(target=_tell, args=(there, work, Folders(own, files), *arguments))
        with signals.undisturbed():  # what has begun to start would complain of a half of what it is to do
            process.start()
            there.close()
        try:
            yield _told(here)
        finally:
            here.close()
            process.join(END_S)
            process.kill()
            process.join()
            with suppress(ProcessLookupError):  # what Ray has left of its own
                os.killpg(process.pid, signal.SIGKILL)


def _told(said: Connection) -> Iterator[Said]:
    while True:
        try:
            while not said.poll(signals.HEEDED_EVERY_S):  # as `signals.awaited`, and for the same reason
                pass
            ended, what = said.recv()
        except (EOFError, ConnectionError) as error:
            raise Failed(
                "a process of Ray's own has ended; what is done is kept: start it again, `denoise restore` with "
                "--skip-existing"
            ) from error
        if isinstance(what, BaseException):
            raise what
        if ended:
            return
        yield what


def _tell(listener: Connection, work: Callable[..., Iterator[object]], folders: Folders, *arguments: object) -> None:
    os.setsid()  # Ctrl-C is for the process that listens, which ends this one
    for output in (1, 2):  # Ray says how much it says, in C++ too
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    threading.Thread(target=_end_with, args=(listener,), daemon=True).start()
    with suppress(signals.Stopped, BrokenPipeError), signals.heeded():
        try:
            for what in work(folders, *arguments):
                listener.send((False, what))
            listener.send((True, None))
        except ConnectionError as error:
            listener.send((True, Failed(f"Ray ended: {error}")))
        except (BadInput, Failed, MemoryError, OSError) as error:
            listener.send((True, error))
        except Exception:  # its class may be known here alone
            listener.send((True, RuntimeError(f"a process of Ray ended: {traceback.format_exc()}")))
    for folder in folders:  # the one that listens may have been killed
        shutil.rmtree(folder, ignore_errors=True)


def _end_with(listener: Connection) -> None:
    with suppress(EOFError, OSError):
        listener.recv()
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def connected(folders: Folders, address: str, cpus: int | None) -> Iterator[None]:
    """Be connected to a cluster. cpus: of a local one, None for those of this machine.

    For a process that is `apart`. Raises BadInput for what is no address, Failed if there is no cluster, and for what
    Ray raises inside.
    """
    options: dict[str, object] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
    if address == LOCAL:
        options |= {
            "include_dashboard": False,
            "object_store_memory": STORE,
            "num_cpus": cpus,
            "_temp_dir": folders.own,
        }
        os.environ.update(ALONE, RAY_AUTH_TOKEN=secrets.token_hex(32))
    else:
        options["address"] = _reached(address)
    handlers = {number: signal.getsignal(number) for number in signals.SIGNALS}
    try:
        import ray

        for left in reversed(range(STARTS)):
            try:
                ray.init(**options)
                break
            except Exception as error:
                if left == 0 or "timed out" not in str(error):
                    raise
                ray.shutdown()
    except Exception as error:  # some of them are just that
        raise Failed(f"Ray at {address!r} cannot be reached or started: {error}") from error
    finally:
        for number, handler in handlers.items():  # Ray has taken one of them
            signal.signal(number, handler)
    try:
        yield
    except ray.exceptions.RayError as error:
        raise Failed(f"Ray ended: {error}") from error
    finally:
        ray.shutdown()


def _reached(address: str) -> str:
    """HOST:PORT where something listens; of `auto`, what `ray start` has left. Ray itself would try for minutes, and
    with `auto` take the local cluster of another command, which lets nobody in.

    Raises BadInput for what is no address, and Failed if nothing listens there.
    """
    found = address
    if address == AUTO:
        found = os.environ.get("RAY_ADDRESS") or (STARTED.read_text().strip() if STARTED.exists() else "")
        if not found:
            raise Failed("no cluster of Ray was started on this machine: `ray start --head`, or name HOST:PORT")
    host, _, port = found.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise BadInput(f"{found!r} is no cluster of Ray: local, auto or HOST:PORT is expected")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise Failed(f"Ray at {found!r} cannot be reached: {error}") from error
    return found
