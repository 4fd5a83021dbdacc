"""A trial: what its training is told, where it works, and what has come of it.

A trial that ended well is an experiment of DVC: a commit on top of the sweep's, with its params.yaml and dvc.lock.
What is left of one that did not end is its checkpoint, from which it goes on.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from domain_denoiser import layout
from domain_denoiser.base import reading
from domain_denoiser.base.one_writer import RUNNING
from domain_denoiser.evaluation import tables
from domain_denoiser.runs import dvc_project, revisions

PLACE = RUNNING / "sweep"
FAILED = "failed"  # a file with the reason
DIGEST = 32  # bytes before the line of JSON at the beginning of a checkpoint (training/checkpoint.py)


class Given(NamedTuple):
    """What the process of a trial is told."""

    root: str  # of the project
    top: str  # of its git repository
    cache: str  # of DVC
    commit: str
    name: str
    model: str
    regime: str
    epochs: int
    overrides: list[str]

    @property
    def folder(self) -> Path:
        """Where it has its clone, its checkpoint, its log, and why it failed."""
        return Path(self.root) / place(self.commit, self.name)

    @property
    def lock(self) -> FileLock:
        """What the process at the trial holds."""
        return FileLock(self.folder.with_suffix(".lock"))

    @property
    def state(self) -> Path:
        """Of the checkpoint."""
        return self.folder / "state"

    @property
    def clone(self) -> Path:
        """Of the repository, for this trial alone."""
        return self.folder / "clone"

    @property
    def unfinished(self) -> Path:
        """The clone while it is made."""
        return self.folder / "new"

    @property
    def project(self) -> Path:
        """The project in the clone: the repository may begin above it."""
        return self.clone / Path(self.root).relative_to(self.top)

    def complete(self) -> bool:
        """Whether the training has written all that it writes: this is the last of it."""
        return (self.project / layout.MODELS / self.model / layout.PLATFORM).exists()

    def clear(self) -> None:
        """Remove the clone, but for what DVC has not taken yet. The checkpoint lies beside it."""
        shutil.rmtree(self.unfinished, ignore_errors=True)
        if not self.complete():
            shutil.rmtree(self.clone, ignore_errors=True)


def project(commit: str) -> dict[str, str]:
    """What all trials are told of the project in the working directory."""
    with dvc_project.opened() as repo:
        cache = repo.cache.local_cache_dir
    top = revisions.git("rev-parse", "--show-toplevel").removesuffix(b"\n")
    return {"root": str(Path.cwd().resolve()), "top": os.fsdecode(top), "cache": cache, "commit": commit}


def place(commit: str, name: str) -> Path:
    """The folder of a trial, in the project. Other commits have other code."""
    return PLACE / commit[:12] / name


def ref(commit: str, name: str) -> str:
    """Where git has the experiment of a trial."""
    return f"refs/exps/{commit[:2]}/{commit[2:]}/{name}"


def finished(commit: str, name: str) -> str | None:
    """The commit of the experiment of a trial; None if it has not ended well."""
    found = revisions.git("rev-parse", "--verify", "--quiet", ref(commit, name), nothing=(1,))
    return None if found is None else found.decode().strip()


def history(commit: str, model: str) -> list[dict[str, float]]:
    """The epochs of a trial that has finished. commit: of its experiment."""
    path = str(layout.MODELS / model / layout.HISTORY)
    return tables.history(revisions.show(commit, path) or b"", f"{path} of {commit[:12]}").to_dict("records")


def judged(rows: Sequence[Mapping[str, float]], metric: str) -> float:
    """A trial's value of the metric: that of the epoch whose weights the pipeline keeps."""
    return max(rows, key=lambda row: row["val_psnr_db"])[metric]


def reached(commit: str, name: str, model: str) -> list[dict[str, float]]:
    """The epochs of a trial that has not finished, by its last checkpoint."""
    return checkpointed(place(commit, name) / "state", model)


def checkpointed(state: Path, model: str) -> list[dict[str, float]]:
    """The history in the newest checkpoint. It is there whole; what it says is not trusted with anything but this."""
    newest = max((state / layout.MODELS / model).glob("*.checkpoint"), default=None)
    if newest is None:
        return []
    try:
        header = newest.read_bytes()[DIGEST:].partition(b"\n")[0]
    except FileNotFoundError:  # the training has ended, or a newer one is there
        return []
    found = reading.from_json(header, str(newest))
    return found["history"] if isinstance(found, Mapping) else []


def failure(commit: str, name: str) -> str | None:
    """Why a trial failed, in a sentence."""
    path = place(commit, name) / FAILED
    return path.read_text() if path.exists() else None


def wait_for(given: Iterable[Given]) -> None:
    """Wait until none of these trials runs any more. Of one that was killed at its end the clone goes here."""
    for one in given:
        if Path(one.lock.lock_file).exists():
            with one.lock:
                one.clear()
