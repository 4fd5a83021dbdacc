"""Tracking while a stage runs: a process of its own does it, so that a store that is slow or down stops no training.

The stage writes one JSON line for each epoch into the process's standard input and never waits for it, except a few
seconds at its end. What does not reach the store then, `denoise sync` brings later.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from domain_denoiser.base.errors import one_line
from domain_denoiser.base.secrets import masked

if TYPE_CHECKING:
    from domain_denoiser.runs.mlflow_store import Outcome
    from domain_denoiser.runs.sync import Synced

LOOK_S = 5.0  # seconds from one look at what a training tells to the next: a store over HTTP takes 50 ms each time


@contextlib.contextmanager
def follow(patience_s: float) -> Iterator[Callable[[dict[str, float]], None]]:
    """Track the stage that DVC is running; yields what to call with each row of history.

    patience_s: how long the end of the stage waits for tracking.
    Does nothing when no DVC runs the stage: then there is no pipeline to say what the run is.
    """
    stage = os.environ.get("DVC_STAGE")
    if stage is None:
        yield lambda row: None
        return
    follower = subprocess.Popen([sys.executable, "-m", "domain_denoiser.runs.live", stage], stdin=subprocess.PIPE)
    lines = Lines(follower.stdin.fileno())
    try:
        yield lambda row: lines.send({"row": row})
        lines.send({"ended": True})
    finally:
        deadline = time.monotonic() + patience_s
        if not lines.flush(deadline):
            follower.kill()  # or it would take the closed pipe for the end of a training that failed
        follower.stdin.close()
        try:
            follower.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            follower.kill()
            follower.wait()
            print(f"tracking: not done after {patience_s:g} s, `denoise sync` will bring the rest", file=sys.stderr)


class Lines:
    """JSON lines for a pipe whose reader may be slow: what it does not take at once waits here, and none is cut."""

    def __init__(self, pipe: int) -> None:
        os.set_blocking(pipe, False)
        self._pipe, self._waiting = pipe, b""

    def send(self, message: Mapping[str, object]) -> None:
        """Write as much as the pipe takes; never waits."""
        self._waiting += json.dumps(message).encode() + b"\n"
        self._write()

    def flush(self, deadline: float) -> bool:
        """Wait until the reader has taken all, or has gone, but not beyond that reading of time.monotonic.

        Returns whether nothing waits any more.
        """
        ready = select.poll()
        ready.register(self._pipe, select.POLLOUT)
        while self._waiting and (left := deadline - time.monotonic()) > 0:
            ready.poll(1000 * left)
            self._write()
        return not self._waiting

    def _write(self) -> None:
        try:
            while self._waiting:
                self._waiting = self._waiting[os.write(self._pipe, self._waiting) :]
        except BlockingIOError:  # the pipe is full
            pass
        except BrokenPipeError:  # the reader is dead: the rows are in history.csv
            self._waiting = b""


def main(name: str) -> None:
    """What the process does: publish the stage `name` as its rows come in, and whole when it has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the stage as well; its end is the end of the input
    try:
        sentences = _follow_training(name) if name.startswith("train@") else _follow_last(name)
    except Exception as error:  # whatever fails here, the training must go on: it is said once, in one line
        reason = one_line(masked(str(error)).partition("\n")[0])
        print(f"tracking: {type(error).__name__}: {reason}; `denoise sync` will bring what is missing", file=sys.stderr)
        return
    for sentence in sentences:
        print(f"tracking: {sentence}", file=sys.stderr)


def _follow_training(name: str) -> list[str]:
    """Publish each epoch as it comes, and what was written at the end; the network and its tests come when they are
    there. Returns what is to be said.
    """
    from domain_denoiser.base import process_identity
    from domain_denoiser.runs import dvc_lock, mlflow_store, records, revisions

    stages, pending = dvc_lock.workspace(), dvc_lock.pending(name)
    origin = mlflow_store.Origin(revisions.head(), revisions.dirty(dvc_lock.written(stages)))
    stages.pop(name, None)  # its entry is of an earlier run
    record = records.of_training(name, stages | {name: pending}, lambda path, md5: None)
    experiment = os.environ.get("DVC_EXP_NAME")
    extra = process_identity.tags(os.getppid()) | ({} if experiment is None else {"experiments": experiment})
    store = mlflow_store.connect(Path(os.environ.get("DVC_ROOT", Path.cwd())), retries=1, timeout_s=5)
    if store.local:
        extra["state"] = "current" if experiment is None else "experiment"
    outcome = mlflow_store.publish(store, record, origin, extra, with_model=False, replace=True)
    ended = False
    for messages in _told():
        ended = ended or {"ended": True} in messages
        new = tuple(message["row"] for message in messages if "row" in message)
        mlflow_store.publish(store, record._replace(history=new), origin, extra, with_model=False, replace=True)
    if not ended:
        mlflow_store.end(store, outcome.run_id, "FAILED")
        return []
    stages[name] = dvc_lock.ended(pending)
    whole = records.of_training(name, stages, lambda path, md5: Path(path).read_bytes())
    return _said(mlflow_store.publish(store, whole, origin, {}, with_model=False, replace=True))


def _said(found: "Outcome | Synced") -> list[str]:
    """What another training of the same work gave otherwise."""
    other = [f"another kind of machine: {sentence}" for sentence in found.elsewhere]
    return other + [f"not deterministic: {sentence}" for sentence in found.contradictions]


def _told() -> Iterator[list[dict[str, object]]]:
    """What the stage tells until it closes the pipe: all that has come since the last look, every LOOK_S."""
    pipe, closed, more = sys.stdin.fileno(), select.poll(), select.poll()
    closed.register(pipe, 0)  # nothing but the end of the pipe
    more.register(pipe, select.POLLIN)
    rest = b""
    while found := os.read(pipe, 1 << 16):
        while more.poll(0) and (next_part := os.read(pipe, 1 << 16)):
            found += next_part
        *lines, rest = (rest + found).split(b"\n")
        yield [json.loads(line) for line in lines]
        closed.poll(1000 * LOOK_S)


def _follow_last(name: str) -> list[str]:
    """Publish what there is of a model while its figures are drawn, and those at the end; of all models if the stage
    works on all of them.
    """
    from domain_denoiser.runs import dvc_lock, mlflow_store, sync

    stage = dvc_lock.pending(name)
    model = name.partition("@")[2]
    stages = {
        key: entry
        for key, entry in dvc_lock.current().items()
        if key != name and not (model and key.startswith("train@") and key != f"train@{model}")
    }  # the stage's own entry is of an earlier run
    store = mlflow_store.connect(Path(os.environ.get("DVC_ROOT", Path.cwd())), retries=1, timeout_s=5)
    parts = [sync.publish_workspace(store, stages, sync.NOT_READ)]
    if any({"ended": True} in messages for messages in _told()):
        parts.append(sync.publish_workspace(store, stages | {name: dvc_lock.ended(stage)}, sync.NOT_READ))
    return _said(sync.merged(parts))


if __name__ == "__main__":
    main(sys.argv[1])
