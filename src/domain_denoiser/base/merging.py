"""A file in which a merge, a rebase or `git stash pop` has left both sides, for somebody to choose."""

from pathlib import Path

from domain_denoiser.base.errors import BadInput

MARKS = (b"<<<<<<< ", b">>>>>>> ")  # git's, at the beginning of a line; no YAML or JSON of ours has a line like that
LOCKS = tuple(map(Path, ("dvc.lock", "study/dvc.lock", "study/large/dvc.lock")))


def conflict(content: bytes) -> int | None:
    """The first line, from 1, that git has marked as one of two sides; None if there is none."""
    lines = enumerate(content.splitlines(), start=1)
    return next((number for number, line in lines if line.startswith(MARKS)), None)


def fix(path: str) -> str:
    """What to do about it. A lock need not be put together by hand: DVC writes what the other files ask for."""
    if path.endswith("dvc.lock"):
        again = "dvc repro" if path == "dvc.lock" else "make large" if "large" in path else "make study"
        return f"git checkout --theirs -- {path} && {again} && git add {path}"  # after params.yaml and code
    return f"edit {path}, then git add {path}"


def check(content: bytes, path: str) -> None:
    """Raises BadInput, with what to do, if both sides are in the content of a file; `path` may say whose it is."""
    line = conflict(content)
    if line is not None:
        raise BadInput(f"{path}: a merge has left both sides in it, from line {line}: `{fix(path.partition(' ')[0])}`")


def refuse(*paths: Path) -> None:
    """Raises BadInput if there are both sides in one of these files."""
    for path in paths:
        if path.is_file():
            check(path.read_bytes(), str(path))
