"""Kills at random moments, and whether what follows gives the bytes of a pipeline that was never interrupted.

`make crash` runs it in a clone of its own, on the small sample of the tests. What is killed with SIGKILL: a stage, or
DVC with all that it started, or DVC alone, which leaves its stage running beside the next one; or `denoise sync`. When:
at a random moment of the command, or while a checkpoint is being written.
"""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, NamedTuple

import psutil
import typer
from faulty import run_in
from mlflow.tracking import MlflowClient
from pipeline import Pipeline, clean_environment, clone, small

from domain_denoiser.base import progress
from domain_denoiser.base.atomic import PREFIX

CHECKPOINT, SYNC = "train@fixed, as it writes a checkpoint", "sync"
KILLED = ("corrupt@random", "train@fixed", "train@conv", CHECKPOINT, "evaluate@fixed", "summarise", SYNC)
LOCK = "dvc.lock, as DVC writes it"
WRITES_LOCK = ["dvc", "repro", "--force", "--no-run-cache", "--single-item", "summarise"]
# What is killed when a function is called for the nth time: how it starts, the function, the largest n.
AIMED = {
    "corrupt@random": (["stages/corrupt.py", "random"], "os.fsync", 8),
    "train@fixed": (["stages/train.py", "fixed"], "os.fsync", 40),
    "evaluate@fixed": (["stages/evaluate.py", "fixed"], "os.fsync", 1),
    LOCK: (WRITES_LOCK, "dvc.utils.serialize._yaml._get_yaml", 1),  # it has emptied the file by then
    SYNC: (["denoise", "sync"], "domain_denoiser.runs.mlflow_store._publish_params", 4),
}
WHO = ("stage", "group", "dvc")
EPOCHS = 30  # of one of the small trainings, so that it takes as long as its imports
KILLS_IN_A_ROW = 3  # then the command may end, and all is compared


class Kill(NamedTuple):
    """One planned death."""

    who: str  # of WHO
    moment: float  # in [0, 1], of the time that the command takes, or of the training's checkpoints


class Round(NamedTuple):
    """A command that is killed several times before it may end."""

    what: str  # of KILLED
    kills: list[Kill]


def plan(kills: int, seed: int) -> list[Round]:
    """Equal seeds give equal plans; what a moment hits differs, as machines are not equally fast."""
    draw = random.Random(seed)
    rounds = []
    while kills:
        count = min(kills, KILLS_IN_A_ROW)
        what = KILLED[len(rounds) % len(KILLED)]
        rounds.append(Round(what, [Kill(draw.choice(WHO), draw.random()) for _ in range(count)]))
        kills -= count
    return rounds


def prepare(folder: Path) -> Pipeline:
    """The small pipeline, reproduced without a disturbance."""
    made = clone(folder)
    made.params(small)
    _commit(made, "The small sample")
    lengthen(made)
    return made


def lengthen(pipeline: Pipeline) -> None:
    """Give one model enough epochs to be killed in, and bring everything up to date."""
    pipeline.params(lambda values: values["models"]["fixed"].update(epochs=EPOCHS))
    pipeline.run("dvc", "repro")
    _commit(pipeline, "Reproduced")
    pipeline.run("denoise", "sync")


def _commit(pipeline: Pipeline, message: str) -> None:
    pipeline.run("git", "add", "-A")
    pipeline.run("git", "commit", "-q", "-m", message)


def files(root: Path) -> dict[str, str]:
    """Path -> SHA-256 of dvc.lock and of everything that stages wrote."""
    paths = [root / "dvc.lock", *(path for part in ("data", "models", "reports") for path in (root / part).rglob("*"))]
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()
    }


def view(root: Path) -> dict[str, object]:
    """What MLflow shows of each run, without what differs from store to store: ids and times."""
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    found = {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            points = {
                name: sorted((point.step, point.value) for point in client.get_metric_history(run.info.run_id, name))
                for name in run.data.metrics
            }
            tags = {name: value for name, value in run.data.tags.items() if not name.startswith("mlflow.")}
            models = client.search_logged_models([experiment.experiment_id], f"source_run_id = '{run.info.run_id}'")
            key = f"{run.info.run_name} {len(found)}" if run.info.run_name in found else run.info.run_name
            ready = [model.tags["md5"] for model in models if model.status == "READY"]
            found[key] = (run.info.status, run.data.params, points, tags, ready)
    return found


def command(what: str) -> list[str]:
    """What is killed, and what may end after it; the run cache would only give back what an earlier run gave."""
    if what == SYNC:
        return ["denoise", "sync"]
    if what == LOCK:
        return WRITES_LOCK
    return ["dvc", "repro", "--force", "--no-run-cache", "--single-item", what.partition(",")[0]]


class Crasher:
    """Kills the commands of one pipeline, and looks at what is there when they have ended."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline, self._root = pipeline, pipeline.root
        self._files, self._view, self._seconds = files(self._root), {}, {}

    def survive(self, planned: Round) -> tuple[list[str], list[str]]:
        """What each kill hit, and what is wrong after it."""
        what = planned.what
        if what not in self._seconds:
            self._forget(what)
            started = time.monotonic()
            self._pipeline.run(*command(what), real=True)
            self._seconds[what] = time.monotonic() - started
            if what == SYNC:
                self._view = view(self._root)  # as a rebuilt store shows it
        self._forget(what)
        return [self._kill(what, kill) for kill in planned.kills], self._end(what)

    def survive_aimed(self, what: str, kills: int, draw: random.Random) -> tuple[int, list[str]]:
        """How many kills hit, each at a moment that matters, one after another; and what is wrong after all of them."""
        words, call, most = AIMED[what]
        if what == SYNC:
            self._pipeline.run(*words)
            self._view = view(self._root)
        self._forget(what)
        hit = 0
        for at in draw.choices(range(1, most + 1), k=kills):
            signals = {"number": signal.SIGKILL, "at": at, "again": False, "call": call}
            done = run_in(self._root, *words, environment=clean_environment(self._root), signals=signals)
            hit += done.status == -signal.SIGKILL
        return hit, self._end(what)

    def _forget(self, what: str) -> None:
        if what == SYNC:
            (self._root / "mlflow.db").unlink()
            shutil.rmtree(self._root / "mlartifacts")

    def _kill(self, what: str, kill: Kill) -> str:
        process = subprocess.Popen(
            command(what),
            cwd=self._root,
            env=clean_environment(self._root, real=True),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        moment = time.monotonic() + kill.moment * self._seconds[what]
        epoch = 1 + int(kill.moment * (EPOCHS - 1))
        come = self._writes_checkpoint if what == CHECKPOINT else lambda _: time.monotonic() >= moment
        while process.poll() is None and not come(epoch):
            time.sleep(0.0005)
        if process.poll() is not None:
            return "ended before"
        stages = [child for child in psutil.Process(process.pid).children(recursive=True) if _is_stage(child)]
        if kill.who == "stage" and stages:
            for stage in stages:
                stage.kill()
        elif kill.who == "dvc":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"{kill.who} in {'a stage' if stages else 'the command itself'}"

    def _writes_checkpoint(self, epoch: int) -> bool:
        """Whether at least `epoch` epochs are kept, and the next is half written."""
        try:
            there = [path.name for path in (self._root / ".running/models/fixed").iterdir()]
        except FileNotFoundError:
            return False
        return any(name.startswith(PREFIX) for name in there) and any(name >= f"{epoch:06}" for name in there)

    def _end(self, what: str) -> list[str]:
        """Let the command end, and say what is not as it would be without the kills."""
        # `make repro` does the first and the last as well: what DVC writes can be cut off, and entries be lost with it.
        for words in (["denoise", "recover"], command(what), ["dvc", "repro"]):
            done = self._pipeline.run(*words, check=False)
            if done.returncode:
                return [f"{' '.join(words)}: exit status {done.returncode}: {(done.stdout + done.stderr)[-1000:]}"]
        self._wait_for_orphans()
        found = files(self._root)
        wrong = [f"{path} differs" for path in sorted(self._files | found) if self._files.get(path) != found.get(path)]
        left = [*self._root.rglob(f"{PREFIX}*"), *self._root.glob(".running/**/*.checkpoint")]
        wrong += [f"{path.relative_to(self._root)} was left" for path in left]
        if status := self._pipeline.run("git", "status", "--porcelain").stdout:
            wrong.append(f"git status: {status}")
        if what == SYNC and (shown := view(self._root)) != self._view:
            runs = [name for name in shown | self._view if shown.get(name) != self._view.get(name)]
            wrong.append(f"MLflow shows otherwise: {', '.join(runs)}")
        return wrong

    def _wait_for_orphans(self) -> None:
        """A stage whose DVC was killed may still be waiting for its twin."""
        mine = [process for process in psutil.process_iter() if self._is_here(process)]
        psutil.wait_procs(mine, timeout=60)

    def _is_here(self, process: psutil.Process) -> bool:
        try:
            return process.cwd() == str(self._root)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False


def _is_stage(process: psutil.Process) -> bool:
    try:
        return any(word.startswith("stages/") for word in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def main(
    kills: Annotated[int, typer.Option(min=1)],
    seed: Annotated[int, typer.Option(min=0)],
) -> None:
    failed, hit = [], Counter()
    with tempfile.TemporaryDirectory() as folder:
        crasher = Crasher(prepare(Path(folder) / "a clone"))
        rounds = plan(kills, seed)
        for planned in progress.track(rounds, len(rounds), "kills", "rounds"):
            told, wrong = crasher.survive(planned)
            hit.update(f"{planned.what}: {one}" for one in told)
            for sentence in wrong:
                progress.line(f"{planned.what}, after {', '.join(told)}: {sentence}")
            if wrong:
                failed.append(planned)
    for told, count in sorted(hit.items()):
        print(f"{count:5} {told}")
    lost = sum(len(planned.kills) for planned in failed)
    print(f"{kills - lost} of {kills} kills were survived")
    sys.exit(bool(failed))


if __name__ == "__main__":
    typer.run(main)
