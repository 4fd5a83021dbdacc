"""The process of a trial: it trains by DVC in a clone of its own, and ends when nobody listens any more."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from domain_denoiser import layout
from domain_denoiser.base import atomic, processes
from domain_denoiser.base.errors import BadInput
from domain_denoiser.base.one_writer import RUNNING
from domain_denoiser.base.processes import Failed
from domain_denoiser.operations import recover
from domain_denoiser.operations.retraining import overrides
from domain_denoiser.operations.sweeping import trial
from domain_denoiser.operations.sweeping.trial import FAILED, Given
from domain_denoiser.runs import dvc_lock, dvc_project, revisions

GRACE_S = 60.0  # for a training that is to end: it tells MLflow so, and a busy machine takes its time
LOOK_S = 0.2  # seconds from one look for new epochs to the next


def rows(given: Given) -> Iterator[dict[str, float]]:
    """Train, and yield each epoch's row of history; the last one when all is done.

    The training ends when this generator is closed, and with this process, however that ends. One that fails has
    fewer rows, and `failure` says why. Raises Failed if its process was killed.
    """
    given.folder.mkdir(parents=True, exist_ok=True)
    with (given.folder / "log").open("ab") as log:
        log.truncate(0)  # of an earlier start
        running = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=given.root,
            env=processes.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    with running:
        running.stdin.write(json.dumps(given._asdict()).encode() + b"\n")
        running.stdin.flush()
        told = 0
        try:
            for line in running.stdout:
                yield json.loads(line)
                told += 1
        finally:
            running.stdin.close()
            running.stdout.read()  # until it has ended
    if told < given.epochs and not (given.folder / FAILED).exists():
        raise Failed("its process was ended from outside")


def main() -> None:
    """What the process does, detached from the one that starts it, which Ray may end with its children."""
    if os.fork():
        os._exit(0)
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # Ray's processes block Ctrl-C, and so would the training
    signal.signal(signal.SIGINT, signal.default_int_handler)
    told = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    line = b""
    while not line.endswith(b"\n"):
        if not (more := os.read(0, 1)):
            return
        line += more
    given = Given(**json.loads(line))
    training = _Telling(given, told)
    threading.Thread(target=_end_with_input, args=(given, training.stopped), daemon=True).start()
    with suppress(KeyboardInterrupt):
        training.run()


def _end_with_input(given: Given, stopped: threading.Event) -> None:
    """End the whole process group when nobody holds the other end of the pipe any more."""
    while os.read(0, 1):
        pass
    if not given.complete():  # else there is little left to do, and it would be done again
        stopped.set()
        os.killpg(0, signal.SIGINT)
    time.sleep(GRACE_S)
    os.killpg(0, signal.SIGKILL)


class _Telling:
    """A training that tells of its epochs."""

    def __init__(self, given: Given, told: TextIO) -> None:
        self._given, self._told, self._known = given, told, 0
        self._ended, self.stopped = threading.Event(), threading.Event()

    def run(self) -> None:
        """Wait until no other process is at the same trial; train; and tell all of it."""
        os.chdir(self._given.root)
        with self._given.lock:
            self._run()

    def _run(self) -> None:
        self._given.folder.mkdir(parents=True, exist_ok=True)  # what waited for another may find that gone
        failed = self._given.folder / FAILED
        failed.unlink(missing_ok=True)
        commit = trial.finished(self._given.commit, self._given.name)
        if commit is None:
            telling = threading.Thread(target=self._follow, daemon=True)
            telling.start()
            try:
                commit = self._train()
            except Exception as error:
                if not self.stopped.is_set():
                    with atomic.file(failed) as temporary:
                        temporary.write_text(_why(error, self._given.folder / "log"))
            finally:
                os.chdir(self._given.root)
                self._ended.set()
                telling.join()
                self._given.clear()
        if commit is not None:
            shutil.rmtree(self._given.folder, ignore_errors=True)
            self._tell(trial.history(commit, self._given.model))

    def _follow(self) -> None:
        """Tell of each epoch but the last, after which there is still something to do."""
        while True:
            self._tell(trial.checkpointed(self._given.state, self._given.model)[: self._given.epochs - 1])
            if self._ended.wait(LOOK_S):
                return

    def _tell(self, rows: list[dict[str, float]]) -> None:
        with suppress(BrokenPipeError):  # nobody listens, and all of it ends soon
            for row in rows[self._known :]:
                self._told.write(f"{json.dumps(row)}\n")
        self._known = max(self._known, len(rows))

    def _train(self) -> str:
        """Train, or take the training from DVC's cache. Returns the commit of the experiment."""
        given = self._given
        self._make()
        os.chdir(given.project)
        # The run belongs into the project's store, with the name of the experiment (runs/live.py).
        os.environ |= {"DVC_ROOT": given.root, "DVC_EXP_NAME": given.name, "DVC_EXP_BASELINE_REV": given.commit}
        os.environ["DVC_SITE_CACHE_DIR"] = str(given.clone / ".dvc-site")
        stage = f"train@{given.model}"
        for said in recover.fix():
            print(said, file=sys.stderr)
        with dvc_project.opened() as repo:
            repo.checkout(targets=[f"corrupt@{given.regime}"], with_deps=True, force=True, allow_missing=True)
            if given.complete():  # killed after its training had ended, before DVC took it
                repo.commit(stage, force=True)
            else:
                repo.reproduce(targets=[stage], allow_missing=True)
        revisions.git("add", "--update")
        revisions.git("add", "--", str(layout.MODELS / given.model / layout.HISTORY))
        who = ("-c", "user.name=denoise sweep", "-c", "user.email=sweep@localhost", "-c", "commit.gpgsign=false")
        revisions.git(*who, "commit", "-q", "--no-verify", "--allow-empty", "-m", f"denoise sweep: {given.name}")
        revisions.git("push", "-q", "--force", "--no-verify", given.top, f"HEAD:{trial.ref(given.commit, given.name)}")
        return revisions.head()

    def _make(self) -> None:
        """The clone, with the trial's settings and DVC's cache of the project; what is there is used."""
        given = self._given
        if (given.clone / ".git").exists() and (given.clone / ".git/HEAD").read_text().strip() == given.commit:
            return
        shutil.rmtree(given.clone, ignore_errors=True)
        given.state.mkdir(parents=True, exist_ok=True)
        new = given.unfinished
        shutil.rmtree(new, ignore_errors=True)
        revisions.git("clone", "-q", "--shared", "--no-checkout", given.top, str(new))
        revisions.git("-C", str(new), "checkout", "-q", "--detach", given.commit)
        inside = new / given.project.relative_to(given.clone)
        (inside / RUNNING).symlink_to(given.state.resolve())
        path = inside / dvc_lock.PARAMS
        path.write_text(overrides.applied(path.read_text(), given.overrides))
        local = Path(given.root) / ".dvc/config.local"
        if local.exists():
            shutil.copy(local, inside / ".dvc/config.local")
        from dvc.repo import Repo

        with Repo(str(inside)) as repo, repo.config.edit("local") as config:
            config["cache"]["dir"] = given.cache
        new.rename(given.clone)


def _why(error: Exception, log: Path) -> str:
    """What the stage said at its end, else DVC."""
    lines = log.read_text(errors="replace").splitlines()
    said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return said[-1] if said and not isinstance(error, BadInput) else str(error)


if __name__ == "__main__":
    main()
