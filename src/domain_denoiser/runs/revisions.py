"""What git knows: commits, experiments, and files as they were.

That there is nothing and that git cannot say are two answers: what git refuses or fails to do is raised, never taken
for a repository without a past.
"""

import io
import os
import re
import shlex
import subprocess
import tarfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from domain_denoiser.base.errors import BadInput

LARGEST = 2**26  # bytes of a file in git; the pipeline's have 3 million at most
UNSHALLOW = "git fetch --unshallow"
# git's own word for the ownership that it objects to; it names the command that lets it go on.
_MISTRUSTED = re.compile(r"(git config --global --add safe\.directory .+)$")


class NoRepository(BadInput):
    """The working directory lies in no git repository, as after the download of a ZIP file: there is no history."""

    fix = "git init && git add -A && git commit -m Start"

    def __init__(self) -> None:
        super().__init__(
            f"{Path.cwd()} lies in no git repository, as after the download of a ZIP file: clone the project, or "
            f"`{self.fix}`"
        )


class GitFailed(BadInput):
    """There is a repository, but git refuses to read it or cannot: what its history holds is not known."""

    def __init__(self, said: str) -> None:
        """said: git's own sentence, or why there is none."""
        super().__init__(f"git cannot read the history here: {said}")
        mistrusted = _MISTRUSTED.search(said)
        self.fix = "git fsck" if mistrusted is None else mistrusted[1]


def git(*arguments: str, nothing: Collection[int] = ()) -> bytes | None:
    """What a git command prints in the working directory.

    nothing: the exit statuses with which it says that it found nothing; then None.
    Raises NoRepository if there is surely none, and GitFailed for any other status and where git is not installed.
    """
    # In the C locale its sentences are the same everywhere; without optional locks it writes nothing when it reads.
    environment = os.environ | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(["git", *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True)
    except FileNotFoundError:
        if repository() is None:
            raise NoRepository from None
        raise GitFailed(f"git is not installed, but {repository()} is a repository: apt-get install git") from None
    if done.returncode == 0:
        return done.stdout
    if done.returncode in nothing:
        return None
    if repository() is None:
        raise NoRepository
    said = " ".join(os.fsdecode(done.stderr).split()) or f"exit status {done.returncode}"
    raise GitFailed(f"`{shlex.join(['git', *arguments[:2]])}`: {said}")


def repository() -> Path | None:
    """What tells git of a repository at or above the working directory, readable or not; None if surely nothing does.

    git's exit status is the same for none and for one that it refuses, and where .git is damaged its sentence is too.
    """
    if "GIT_DIR" in os.environ:
        return Path(os.environ["GIT_DIR"])
    ceilings = os.environ.get("GIT_CEILING_DIRECTORIES", "").split(os.pathsep)
    for folder in (Path.cwd(), *Path.cwd().parents):
        if str(folder) in ceilings:
            return None
        if os.path.lexists(folder / ".git"):
            return folder
    return None


def require() -> None:
    """Raises NoRepository without a repository, and GitFailed if git does not read it."""
    git("rev-parse", "--git-dir")


def resolve(revision: str) -> str:
    """The commit that a branch, tag, experiment or abbreviated hash names. Raises BadInput if it names none."""
    for candidate in (revision, dict(experiments()).get(revision, revision)):
        found = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{candidate}^{{commit}}", nothing=(1,))
        if found is not None:
            return found.decode().strip()
    if git("rev-parse", "--verify", "--quiet", "--end-of-options", revision, nothing=(1,)) is not None:
        raise BadInput(f"{revision!r} names no commit, or one that this repository has lost: `git fsck`")
    cut = gap()
    raise BadInput(
        f"{revision!r} is no commit, branch, tag or experiment of this repository{'' if cut is None else f'; {cut}'}"
    )


def head() -> str | None:
    """The commit that is checked out; None if there is none yet, or no repository."""
    try:
        found = git("rev-parse", "--verify", "--quiet", "HEAD", nothing=(1,))
    except NoRepository:
        return None
    return None if found is None else found.decode().strip()


def gap() -> str | None:
    """What of the past cannot be seen here, in a sentence; None if all of it can."""
    try:
        shallow = git("rev-parse", "--is-shallow-repository")
    except NoRepository:
        return "there is no git repository here, and so no history"
    if shallow.strip() == b"true":
        return f"this clone is shallow, its history is cut off: `{UNSHALLOW}` brings the rest"
    return None


class Entry(NamedTuple):
    """What a commit has at a path."""

    path: str
    kind: str  # blob: a file or a link; tree: a folder; commit: a submodule
    name: str  # of the object: equal content has equal names, in all commits
    size: str  # bytes of a blob, in decimal; another word if the repository has lost it


def entry(commit: str, path: str) -> Entry | None:
    """None if the commit has nothing there."""
    # `cat-file` alone ends with the same status whether the path is not there or git fails.
    found = git("ls-tree", "-z", "--long", commit, "--", path).partition(b"\t")[0].split()
    return Entry(path, *(word.decode() for word in found[1:])) if found else None


def content(file: Entry) -> bytes | None:
    """What is in a file; None if it is none, or has more than LARGEST bytes."""
    if file.kind != "blob":
        return None
    if not file.size.isdigit():
        raise GitFailed(f"{file.path} is the object {file.name}, which this repository has lost")
    return None if int(file.size) > LARGEST else git("cat-file", "blob", file.name)


def show(commit: str, path: str) -> bytes | None:
    """A file of a commit, or None if the commit has none at that path, or one of more than LARGEST bytes."""
    found = entry(commit, path)
    return None if found is None else content(found)


def inside(folder: Entry) -> dict[str, bytes]:
    """The files of a folder as a checkout writes them, without links: path inside it -> content."""
    top = os.fsdecode(git("rev-parse", "--show-toplevel").removesuffix(b"\n"))
    archive = git("-C", top, "archive", "--format=tar", folder.name)  # elsewhere git looks for the same folder in it
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return {member.name: opened.extractfile(member).read() for member in opened if member.isfile()}


def listed(commit: str, *places: str) -> list[str]:
    """The files that a commit has at or in these places."""
    names = git("ls-tree", "-r", "--name-only", "-z", commit, "--", *places)
    return [os.fsdecode(name) for name in names.split(b"\0") if name]


def committed(path: str) -> bytes | None:
    """A file of the commit that is checked out; None if it has none, or there is no commit or repository."""
    commit = head()
    return None if commit is None else show(commit, path)


def dirty(written_by_dvc: Iterable[str]) -> bool:
    """Whether files differ from the commit, or lie there untracked and not ignored; what DVC writes does not count.

    Without a repository they do: no commit has them.
    """
    written = {"dvc.lock", *written_by_dvc}
    try:
        return any(path not in written for path in changed())
    except NoRepository:
        return True


def changed() -> list[str]:
    """Files that differ from the commit, or lie there untracked and not ignored. Raises NoRepository."""
    status = git("status", "--porcelain", "--untracked-files=all", "-z", "--no-renames", "--", ".")
    # Its paths begin at the repository's root, which may lie above the project's.
    above = git("rev-parse", "--show-prefix").removesuffix(b"\n")
    return [os.fsdecode(entry[3:].removeprefix(above)) for entry in status.split(b"\0") if entry]


def tracked(paths: Iterable[str]) -> set[str]:
    """Those of these files that git tracks."""
    wanted = [f":(literal){path}" for path in paths]
    return set(files("--cached", "--", *wanted)) if wanted else set()


def files(*arguments: str) -> list[str]:
    """The paths that `git ls-files` lists. Raises NoRepository."""
    return [os.fsdecode(path) for path in git("ls-files", "-z", *arguments).split(b"\0") if path]


def commits_of(path: str, *start: str) -> Iterator[str]:
    """The commits reachable from `start` that changed a file, oldest first; none without a repository."""
    # `git log` refuses a HEAD that names no commit yet, and takes HEAD where it is given nothing.
    known = [name for name in start if name != "HEAD" or head() is not None]
    if known:
        try:
            yield from git("log", "--full-history", "--reverse", "--format=%H", *known, "--", path).decode().split()
        except NoRepository:
            return


def experiments() -> list[tuple[str, str]]:
    """DVC's experiments as (name, commit). Their refs are refs/exps/<baseline>/<name>; baselines may share a name."""
    try:
        listed = git("for-each-ref", "--format=%(refname) %(objectname)", "refs/exps")
    except NoRepository:
        return []
    found = []
    for line in listed.decode().splitlines():
        ref, commit = line.split(" ")
        parts = ref.split("/")
        if len(parts) == 5:  # others are DVC's queue and stash
            found.append((parts[4], commit))
    return found
