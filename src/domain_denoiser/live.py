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
from collections.abc import Callable, Iterator
from pathlib import Path

from domain_denoiser.errors import one_line
from domain_denoiser.masking import masked


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
    follower = subprocess.Popen([sys.executable, "-m", "domain_denoiser.live", stage], stdin=subprocess.PIPE)
    os.set_blocking(follower.stdin.fileno(), False)

    def tell(message: dict[str, object]) -> None:
        # A full pipe or a dead follower: the line is lost here, not in history.csv.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(follower.stdin.fileno(), json.dumps(message).encode() + b"\n")

    try:
        yield lambda row: tell({"row": row})
        tell({"ended": True})
    finally:
        follower.stdin.close()
        try:
            follower.wait(patience_s)
        except subprocess.TimeoutExpired:
            follower.kill()
            follower.wait()
            print(f"tracking: not done after {patience_s:g} s, `denoise sync` will bring the rest", file=sys.stderr)


def main(name: str) -> None:
    """What the process does: publish the stage `name` as its rows come in, and whole when it has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the stage as well; its end is the end of the input
    try:
        contradictions = _follow_training(name) if name.startswith("train@") else _follow_last(name)
    except Exception as error:  # whatever fails here, the training must go on: it is said once, in one line
        reason = one_line(masked(str(error)).partition("\n")[0])
        print(f"tracking: {type(error).__name__}: {reason}; `denoise sync` will bring what is missing", file=sys.stderr)
        return
    for contradiction in contradictions:
        print(f"tracking: not deterministic: {contradiction}", file=sys.stderr)


def _follow_training(name: str) -> tuple[str, ...]:
    """Publish each epoch as it comes; the model and the tests of it come when they are there."""
    from domain_denoiser import lineage, records, revisions, tracking

    stages = lineage.workspace()
    origin = tracking.Origin(revisions.head(), revisions.dirty(lineage.written(stages)))
    stages.pop(name, None)  # its entry is of an earlier run
    record = records.gather(stages | {name: lineage.pending(name)}, lambda path, md5: None)[-1]
    experiment = os.environ.get("DVC_EXP_NAME")
    extra = tracking.process_tags(os.getppid()) | ({} if experiment is None else {"experiments": experiment})
    store = tracking.connect(Path(os.environ.get("DVC_ROOT", Path.cwd())), retries=1, timeout_s=5)
    outcome = tracking.publish(store, record, origin, extra, with_model=False, replace=True)
    contradictions, rows, ended = [], [], False
    for messages in _told():
        ended = ended or {"ended": True} in messages
        new = [message["row"] for message in messages if "row" in message]
        rows += new
        now = record._replace(history=tuple(new))
        contradictions += tracking.publish(store, now, origin, extra, with_model=False, replace=True).contradictions
    if ended:
        tracking.publish(
            store, record._replace(history=tuple(rows), finished=True), origin, {}, with_model=False, replace=True
        )
    else:
        tracking.end(store, outcome.run_id, "FAILED")
    return tuple(contradictions)


def _told() -> Iterator[list[dict[str, object]]]:
    """What the stage tells until it closes the pipe: all that has come since the last look, every five seconds."""
    closed = select.poll()
    closed.register(sys.stdin, 0)  # nothing but the end of the pipe
    rest = b""
    while found := os.read(sys.stdin.fileno(), 1 << 16):
        *lines, rest = (rest + found).split(b"\n")
        yield [json.loads(line) for line in lines]
        closed.poll(5_000)


def _follow_last(name: str) -> tuple[str, ...]:
    """Publish everything when the last stage runs: models and test metrics while it draws, its figures at its end."""
    from domain_denoiser import lineage, sync, tracking

    stage = lineage.pending(name)
    stages, history = lineage.workspace(), sync.read_history()
    stages.pop(name, None)  # its entry is of an earlier run
    store = tracking.connect(Path(os.environ.get("DVC_ROOT", Path.cwd())), retries=1, timeout_s=5)
    parts = [sync.publish_workspace(store, stages, history)]
    if any({"ended": True} in messages for messages in _told()):
        parts.append(sync.publish_workspace(store, stages | {name: lineage.ended(stage)}, history))
    return tuple(sync.merged(parts).contradictions)


if __name__ == "__main__":
    main(sys.argv[1])
