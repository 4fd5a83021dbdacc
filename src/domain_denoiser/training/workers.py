"""Training in more than one process of one machine, the workers: how they start, meet and end.

Each has a copy of the network and makes the same steps. torch.distributed carries what they tell each other, by gloo
between CPUs and by NCCL between GPUs. Its launcher torchrun is for several machines: its store listens to the whole
network, and its workers outlive a kill of their process group. torch.multiprocessing is for one, and does neither.
"""

import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from domain_denoiser.base import signals
from domain_denoiser.base.errors import BadInput, end, one_sentence
from domain_denoiser.base.one_writer import RUNNING
from domain_denoiser.params import TrainingCompute

if TYPE_CHECKING:
    from torch import Tensor

SILENCE = timedelta(minutes=30)  # how long a worker waits for another: the first one writes files meanwhile
CAUSE_S = 10.0  # how long a worker that fails because another failed waits for the end, so that the cause is seen first


class Lost(Exception):
    """Another worker does not answer."""


class Group(NamedTuple):
    """The workers of a training, as one of them sees them."""

    rank: int  # of this one, from 0
    workers: int

    def gather(self, values: "Tensor") -> "Tensor":
        """The values of all workers, [workers, *values.shape], in the order of their ranks. All have the same shape.

        Raises Lost if a worker has ended, or does not answer.
        """
        if self.workers == 1:
            return values.unsqueeze(0)
        from torch import distributed

        found = values.new_empty((self.workers, *values.shape))
        try:
            distributed.all_gather_into_tensor(found.view(-1), values.view(-1))
        except RuntimeError as error:
            raise Lost(f"worker {self.rank} of {self.workers} lost another: {error}") from error
        return found

    def meet(self) -> None:
        """Wait until all workers are here. Raises Lost as `gather` does."""
        if self.workers > 1:
            import torch

            self.gather(torch.zeros(1, device="cuda" if torch.distributed.get_backend() == "nccl" else "cpu"))


ALONE = Group(0, 1)
Train = Callable[[str, Group], None]


def launch(train: Train, name: str, on: TrainingCompute) -> None:
    """Call train(name, group) in each of `on.workers` processes, and wait until all have ended.

    train: a function of a module, or of a program that does nothing when it is imported; name: of the model. A worker
    that fails ends all, and this program too, with its sentence and exit status; one that a signal ends, with a
    sentence that names both.
    """
    from torch import multiprocessing

    logging.disable()  # of torch, which says whom it ends; this program says why
    folder = RUNNING / "workers" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    arguments = (train, name, on, folder)
    # Daemons: multiprocessing waits for others at its end, whatever happens.
    context = multiprocessing.start_processes(_work, arguments, on.workers, join=False, daemon=True)
    try:
        while not context.join(signals.HEEDED_EVERY_S):  # in parts, as in `signals.awaited`
            pass
    except multiprocessing.ProcessExitedException as error:
        _tell(error.error_index, error.exit_code, on.workers, folder)
    finally:
        for process in context.processes:
            process.terminate()
        for process in context.processes:
            process.join(2 * CAUSE_S)
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _tell(rank: int, status: int, workers: int, folder: Path) -> None:
    """End this program as worker `rank` ended."""
    said = _said(folder, rank)
    if status > 0 and said.exists():
        print(said.read_text(), end="", file=sys.stderr)
        sys.exit(status)
    how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    end(f"worker {rank} of {workers} ended by {how}; started again, the training goes on from its last checkpoint", 1)


def _said(folder: Path, rank: int) -> Path:
    return folder / f"{rank}.txt"


def _work(rank: int, train: Train, name: str, on: TrainingCompute, folder: Path) -> None:
    """What a worker does."""
    # torch has the kernel send this when `stages/train.py` ends; what a script starts in the background ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with one_sentence(), _unheard(rank, _said(folder, rank)):
        import torch
        from torch import distributed
        from tqdm import tqdm

        tqdm.set_lock(threading.RLock())  # one between processes would be complained about where a worker is killed
        if on.device == "cuda":
            if (there := torch.cuda.device_count()) < on.workers:
                raise BadInput(f"params.yaml: compute.workers is {on.workers}, but there are {there} CUDA devices")
            torch.cuda.set_device(rank)
        loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
        os.environ |= {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
        distributed.init_process_group(
            "nccl" if on.device == "cuda" else "gloo",
            store=distributed.FileStore(str(folder / "store"), on.workers),
            rank=rank,
            world_size=on.workers,
            timeout=SILENCE,
        )
        train(name, Group(rank, on.workers))
        distributed.destroy_process_group()


@contextmanager
def _unheard(rank: int, said: Path) -> Iterator[None]:
    """What a worker says at its end goes into a file, for `launch`: of all that fail, one is heard."""
    try:
        yield
    except BaseException as error:
        sys.stderr = said.open("w", buffering=1)
        with Path(os.devnull).open("wb") as nowhere:  # threads of gloo have last words, in C++
            os.dup2(nowhere.fileno(), 2)
        # What is wrong with the params is wrong in all workers, and the first one says it best.
        if isinstance(error, Lost) or (rank > 0 and isinstance(error, Exception)):
            time.sleep(CAUSE_S)
        raise
