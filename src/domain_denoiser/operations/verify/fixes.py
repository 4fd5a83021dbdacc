"""The commands that fix what is wrong, for a shell in the project's root.

What is wrong is removed first: DVC and git trust size and mtime, and may not look at it.
"""

import shlex
from collections.abc import Iterable
from pathlib import Path

from domain_denoiser.runs import hashes, listings, revisions

REPRODUCE = "dvc repro"  # whatever changed, and what follows from it


def without(paths: Iterable[Path], *then: str) -> str:
    """Take away what lies at these paths, as far as something does, and go on."""
    there = [path for path in dict.fromkeys(paths) if path.is_symlink() or path.exists()]
    folders = any(path.is_dir() and not path.is_symlink() for path in there)
    remove = [f"rm {'-rf' if folders else '-f'} {shlex.join(map(str, there))}"] if there else []
    return " && ".join([*remove, *then])


def checkout(out: str) -> str:
    """Take an output out of the cache."""
    return f"dvc checkout --force {shlex.quote(out)}"


def commit(stage: str) -> str:
    """Put a stage's outputs into the cache, from a workspace where all of them, and what it read, are right."""
    return f"dvc commit --force {shlex.quote(stage)}"


def make(stage: str) -> str:
    """Run a stage, and before it what it needs that is not there."""
    return f"dvc repro {shlex.quote(stage)}"


def again(stage: str) -> str:
    """Run a stage that DVC holds to be up to date, and then whatever follows from another result."""
    return f"dvc repro --force --single-item {shlex.quote(stage)} && {REPRODUCE}"


def get(out: str, stage: str, remote: str | None) -> str:
    """Bring what neither workspace nor cache has: from the remote, if there is one that has it; else made again."""
    return make(stage) if remote is None else f"dvc pull --force {shlex.quote(out)} || {make(stage)}"


def committed(path: Path) -> str:
    """Take a file from the commit."""
    return without([path], f"git checkout HEAD -- {shlex.quote(str(path))}")


def in_commit(path: Path, md5: str) -> bool:
    """Whether the commit has just this file or folder."""
    commit = revisions.head()
    return commit is not None and hashes.of_commit(commit, str(path), listings.is_folder(md5)) == md5
