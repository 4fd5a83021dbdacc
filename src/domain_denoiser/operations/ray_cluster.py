"""A cluster of Ray: of this machine alone, or one that is there already."""

import importlib.util
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path

from domain_denoiser.base import signals
from domain_denoiser.base.errors import BadInput
from domain_denoiser.base.processes import Failed

LOCAL = "local"  # Ray's word for a cluster of this machine alone, which ends with this process
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
def connected(address: str, cpus: int | None) -> Iterator[None]:
    """Be connected to a cluster. cpus: of a local one; None for those of this machine.

    Raises Failed if there is none.
    """
    # Not in TMPDIR: the path of a socket in it may have 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="denoise-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        local = {"include_dashboard": False, "object_store_memory": STORE, "num_cpus": cpus, "_temp_dir": folder}
        if address == LOCAL:
            os.environ.update(ALONE, RAY_AUTH_TOKEN=secrets.token_hex(32))
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what it has to say of itself means nothing here
        handlers = {number: signal.getsignal(number) for number in signals.SIGNALS}
        try:
            with _silent():  # it says how much it says
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
        with redirect_stdout(sys.stderr):  # what Ray says of processes that die, until it has ended, is no output
            try:
                yield
            finally:
                ray.shutdown()


@contextmanager
def _silent() -> Iterator[None]:
    """Standard error is lost, also that of code in C++."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
