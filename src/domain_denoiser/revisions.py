"""What git knows: commits, experiments, and files as they were."""

import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from domain_denoiser.errors import BadInput

LARGEST = 2**26  # bytes of a file in git; the pipeline's have 3 million at most


def git(*arguments: str) -> bytes | None:
    """What a git command prints in the working directory, or None if it fails (or there is no git)."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def resolve(revision: str) -> str:
    """The commit that a branch, tag, experiment or abbreviated hash names. Raises BadInput if it names none."""
    for candidate in (revision, dict(experiments()).get(revision, revision)):
        found = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{candidate}^{{commit}}")
        if found is not None:
            return found.decode().strip()
    raise BadInput(f"{revision!r} is no commit, branch, tag or experiment of this repository")


def head() -> str | None:
    """The commit that is checked out, or None outside a repository with commits."""
    found = git("rev-parse", "--verify", "--quiet", "HEAD")
    return None if found is None else found.decode().strip()


def show(commit: str, path: str) -> bytes | None:
    """A file of a commit, or None if the commit has none at that path, or one of more than LARGEST bytes."""
    size = git("cat-file", "-s", f"{commit}:./{path}")
    return None if size is None or int(size) > LARGEST else git("cat-file", "blob", f"{commit}:./{path}")


def dirty(written_by_dvc: Iterable[str]) -> bool:
    """Whether files differ from the commit, or lie there untracked and not ignored; what DVC writes does not count."""
    written = {"dvc.lock", *written_by_dvc}
    return any(path not in written for path in changed())


def changed() -> list[str]:
    """Files that differ from the commit, or lie there untracked and not ignored."""
    status = git("status", "--porcelain", "--untracked-files=all", "-z", "--no-renames")
    return [] if status is None else [os.fsdecode(entry[3:]) for entry in status.split(b"\0") if entry]


def tracks(path: str) -> bool:
    """Whether git tracks a file."""
    return bool(git("ls-files", "--", f":(literal){path}"))


def commits_of(path: str, *start: str) -> Iterator[str]:
    """The commits reachable from `start` that changed a file, oldest first."""
    listed = git("log", "--full-history", "--reverse", "--format=%H", *start, "--", path)
    yield from () if listed is None else listed.decode().split()


def experiments() -> list[tuple[str, str]]:
    """DVC's experiments as (name, commit). Their refs are refs/exps/<baseline>/<name>; baselines may share a name."""
    listed = git("for-each-ref", "--format=%(refname) %(objectname)", "refs/exps")
    found = []
    for line in () if listed is None else listed.decode().splitlines():
        ref, commit = line.split(" ")
        parts = ref.split("/")
        if len(parts) == 5:  # others are DVC's queue and stash
            found.append((parts[4], commit))
    return found


def project_root(start: Path) -> Path:
    """The folder at or above `start` that holds dvc.yaml. Raises BadInput if there is none."""
    for folder in (start, *start.parents):
        if (folder / "dvc.yaml").is_file() and (folder / ".dvc").is_dir():
            return folder
    raise BadInput(f"{start} lies in no project: no dvc.yaml here or above")
