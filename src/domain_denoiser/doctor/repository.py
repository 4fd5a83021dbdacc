"""Is git there, and set up?"""

import subprocess
from pathlib import Path

from domain_denoiser.checks import OK, Check
from domain_denoiser.doctor import WRONG

PATIENCE_S = 20


def git(root: Path) -> Check:
    """git itself, and a repository with a commit around the project."""
    try:
        version = _git(root, "--version")
    except FileNotFoundError:
        return Check(WRONG, "git: not installed", "apt-get install git")
    inside = _git(root, "rev-parse", "--is-inside-work-tree")
    if inside.returncode != 0:
        said = " ".join(inside.stderr.split())  # git's own sentence names the mend if it mistrusts the owner
        return Check(WRONG, f"git: {root} is in no repository that git accepts: {said}", "git init")
    if _git(root, "rev-parse", "--verify", "--quiet", "HEAD").returncode != 0:
        return Check(
            WRONG, "git: there is no commit yet, which results could be compared with", "git add -A && git commit"
        )
    return Check(OK, version.stdout.strip())


def identity(root: Path) -> Check:
    """The name and address that `denoise propose` commits under."""
    found = _git(root, "-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT")
    if found.returncode == 0:
        return Check(OK, f"git: commits as {found.stdout.rpartition('>')[0]}>")
    mend = "git config user.name 'Your Name' && git config user.email you@example.com"
    return Check(WRONG, "git: user.name or user.email is not set, which `denoise propose` needs", mend)


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=PATIENCE_S)
