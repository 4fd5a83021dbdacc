"""`denoise retrain`: pull, reproduce, sync, gate, report, push; each step is a command of its own.

Run again after any interruption, it goes on where it was.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from domain_denoiser import params
from domain_denoiser.base import processes
from domain_denoiser.base.errors import BadInput
from domain_denoiser.networks import architectures
from domain_denoiser.operations import freshness, recover
from domain_denoiser.operations.retraining import overrides, remote, results, stagelog
from domain_denoiser.runs import champion, dvc_lock, revisions

DONE, KEPT = 0, 3  # exit statuses: nothing to do, or finished and better; finished, but kept from promotion


def retrain(settings: Iterable[str], against: str) -> int:
    """Bring the working directory's results up to date, and return the exit status.

    settings: `key=value`, other values for params.yaml; against: what the report compares with.
    Raises BadInput for what cannot be retrained at all, and commands.Failed when a step fails; then nothing was pushed.
    """
    with _alone():
        revisions.require()
        if revisions.head() is None:
            raise BadInput("there is no commit here that a retraining could start from")
        revisions.resolve(against)
        architectures.check_all(params.read(Path(results.PARAMS)).models, results.PARAMS)
        for sentence in [*recover.fix(), *champion.recover()]:
            print(sentence)
        settings = list(settings)
        if settings:
            overrides.write(Path(results.PARAMS), settings)
        if not results.unfinished() and not freshness.stale_stages():
            print("dvc.lock is what code and params say, and committed: nothing to do")
            return DONE
        _withdraw_proposal()
        remote.pull()
        _reproduce()
        processes.must("denoise", "sync")
        decision = processes.run("denoise", "promote")
        if decision not in (DONE, KEPT):
            raise processes.Failed(f"`denoise promote` ended with status {decision}")
        processes.must("denoise", "report", "--against", against)
        remote.push()
        return decision


@contextmanager
def _alone() -> Iterator[None]:
    stagelog.PATH.parent.mkdir(exist_ok=True)
    try:
        with FileLock(stagelog.PATH.with_suffix(".lock"), timeout=0):
            yield
    except Timeout as error:
        raise BadInput("another retraining runs in this folder") from error


def _withdraw_proposal() -> None:
    """Take back the champion of an earlier attempt: the gate compares with the commit's."""
    decided, present = champion.decided(), champion.read()
    if decided is not None and present is not None and decided[0] == present:
        champion.take_back()


def _reproduce() -> None:
    seen = {}
    try:
        processes.must("dvc", "repro", on_line=lambda line: seen.update(stagelog.seen(line)))
    finally:
        stagelog.write(seen, dvc_lock.workspace())
