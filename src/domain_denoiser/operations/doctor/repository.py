"""Are git and the repository there, and set up?"""

import shutil
import subprocess
from pathlib import Path

from domain_denoiser.base import merging
from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations.checks import NOTE, OK, WRONG, Check
from domain_denoiser.runs import dvc_lock, revisions

PATIENCE_S = 20
INSTALL = "apt-get install git"


def git(root: Path) -> Check:
    """git itself, and a repository around the project that it reads, with a commit."""
    if shutil.which("git") is None:
        return Check(WRONG, "git: not installed", INSTALL)
    try:
        revisions.require()
        if revisions.head() is None:
            said = "git: there is no commit yet, which results could be compared with"
            return Check(WRONG, said, "git add -A && git commit")
        revisions.git("cat-file", "-e", "HEAD^{tree}")
    except (revisions.NoRepository, revisions.GitFailed) as error:
        return Check(WRONG, f"git: {error}", error.fix)
    if (gap := revisions.gap()) is not None:
        return Check(NOTE, f"git: {gap}", revisions.UNSHALLOW)
    return Check(OK, revisions.git("--version").decode().strip())


def identity(root: Path) -> Check:
    """The name and address that `denoise propose` commits under."""
    if shutil.which("git") is None:
        return Check(NOTE, "git: its user is not looked at, as it is not installed")
    command = ["git", "-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT"]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=PATIENCE_S)
    if found.returncode == 0:
        return Check(OK, f"git: commits as {found.stdout.rpartition('>')[0]}>")
    fix = "git config user.name 'Your Name' && git config user.email you@example.com"
    return Check(WRONG, "git: user.name or user.email is not set, which `denoise propose` needs", fix)


def lock(root: Path) -> Check:
    """The files that say what was made of what: both sides of a merge, or the end cut off?"""
    for path in (Path("params.yaml"), Path("dvc.yaml"), Path("champion.json"), *merging.LOCKS):
        try:
            merging.refuse(path)
        except BadInput as error:
            return Check(WRONG, str(error), merging.fix(str(path)))
    for path in merging.LOCKS:
        try:
            dvc_lock.locked(path.read_bytes() if path.is_file() else b"", str(path))
        except BadInput as error:
            return Check(WRONG, str(error), "denoise recover")
    return Check(OK, "dvc.lock can be read")
