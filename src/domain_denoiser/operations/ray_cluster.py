"""A cluster of Ray: of this machine alone, or one that is there already."""

import importlib.util
import os
import secrets
import signal
import socket
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TypeVar

from domain_denoiser.base import signals
from domain_denoiser.base.errors import BadInput
from domain_denoiser.base.processes import Failed

Said = TypeVar("Said")

LOCAL = "local"  # Ray's word for a cluster of this machine alone, which ends with this process
ANSWER_S = 10.0  # for the machine of another cluster to take a connection
END_S = 60.0  # for Ray to end
STORE = 2**27  # bytes of Ray's own memory: images do not go through it
# Ray must listen on the loopback address alone, which it does where it believes that there are no clusters; to nobody
# without the token, as other people of this machine could reach it; and tell nobody that it was started.
ALONE = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def require(what: str) -> None:
    """Raises BadInput if the extra `scale` is not installed. what: that needs it."""
    if importlib.util.find_spec("ray") is None or importlib.util.find_spec("s3fs") is None:
        raise BadInput(f"{what} needs Ray: `make setup-scale` in a clone, or pip install 'domain-denoiser[scale]'")


@contextmanager
def apart(work: Callable[..., Iterator[Said]], *arguments: object) -> Iterator[Iterator[Said]]:
    """Yield what the generator `work` yields in a process of its own, where it may be `connected`.

    When a process of Ray's own ends, the one that is connected ends too, without a word: that must not be this one.
    It ends before the block does, and with this process, however that ends. work and arguments can be pickled.

    Raises what `work` raises, and Failed if its process ends.
    """
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_tell, args=(there, work, arguments))
    process.start()
    there.close()
    try:
        yield _told(here)
    finally:
        here.close()
        process.join(END_S)
        process.kill()
        process.join()


def _told(said: Connection) -> Iterator[Said]:
    while True:
        try:
            ended, what = said.recv()
        except (EOFError, ConnectionError) as error:
            raise Failed("a process of Ray's own has ended, and all others with it: what is done is kept") from error
        if isinstance(what, BaseException):
            raise what
        if ended:
            return
        yield what


def _tell(listener: Connection, work: Callable[..., Iterator[object]], arguments: tuple) -> None:
    os.setsid()  # Ctrl-C is for the process that listens, which ends this one
    for output in (1, 2):  # Ray says how much it says, in C++ too
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    threading.Thread(target=_end_with, args=(listener,), daemon=True).start()
    with suppress(signals.Stopped, BrokenPipeError), signals.heeded():
        try:
            for what in work(*arguments):
                listener.send((False, what))
            listener.send((True, None))
        except ConnectionError as error:
            listener.send((True, Failed(f"Ray ended: {error}")))
        except (BadInput, Failed, MemoryError, OSError) as error:
            listener.send((True, error))
        except Exception:  # its class may be known here alone
            listener.send((True, RuntimeError(f"a process of Ray ended: {traceback.format_exc()}")))


def _end_with(listener: Connection) -> None:
    with suppress(EOFError, OSError):
        listener.recv()
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def connected(address: str, cpus: int | None) -> Iterator[None]:
    """Be connected to a cluster. cpus: of a local one; None for those of this machine.

    For a process that is `apart`. Raises Failed if there is none, and for what Ray raises inside.
    """
    _reach(address)
    # Not in TMPDIR: the path of a socket in it may have 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="denoise-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        local = {"include_dashboard": False, "object_store_memory": STORE, "num_cpus": cpus, "_temp_dir": folder}
        if address == LOCAL:
            os.environ.update(ALONE, RAY_AUTH_TOKEN=secrets.token_hex(32))
        handlers = {number: signal.getsignal(number) for number in signals.SIGNALS}
        try:
            import ray

            start = partial(ray.init, address, log_to_driver=False, logging_level="ERROR")
            try:
                start(**(local if address == LOCAL else {}))
            except Exception as error:  # it gives its own start 30 s, too little on a machine that is busy
                if "timed out" not in str(error):
                    raise
                ray.shutdown()
                start(**(local if address == LOCAL else {}))
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


def _reach(address: str) -> None:
    """Raises Failed if nothing listens at HOST:PORT: Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise Failed(f"Ray at {address!r} cannot be reached: {error}") from error
