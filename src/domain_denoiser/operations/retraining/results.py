"""The files in git that a retraining changes, and those that it has read."""

from collections.abc import Container, Iterable
from pathlib import Path, PurePosixPath

from domain_denoiser import layout
from domain_denoiser.runs import champion, dvc_lock, listings, revisions

LOCK = "dvc.lock"
PARAMS = "params.yaml"
REPORT = layout.RETRAINING


def uncommitted() -> list[str]:
    """Those that differ from the commit."""
    return [path for path in revisions.changed() if _is_result(path, set(dvc_lock.written(dvc_lock.workspace())))]


def uncommitted_others() -> list[str]:
    """What else a commit would have to have: tracked files that differ from it, and files that a stage has read."""
    stages = dvc_lock.workspace()
    written = set(dvc_lock.written(stages))
    others = [path for path in revisions.changed() if not _is_result(path, written)]
    read = {dep for stage in stages.values() for dep in stage.deps if not _is_written(dep, written)} | {"src", "stages"}
    inputs = [str(path) for dep in read for path in listings.files(_in_git(dep))]
    tracked = revisions.tracked([*others, *inputs])
    hidden = sorted(path for path in inputs if path not in tracked)  # from git status: it is ignored
    return list(dict.fromkeys([*(path for path in others if path in tracked or _within(path, read)), *hidden]))


def _in_git(dep: str) -> Path:
    """What a commit has of an input: itself, or the file by which DVC tracks it, as of a folder of one's own images."""
    tracks = Path(f"{dep}.dvc")
    return tracks if tracks.is_file() else Path(dep)


def unfinished() -> bool:
    """Whether params or what the pipeline wrote differ from the commit: a retraining began and is not proposed."""
    written = {LOCK, PARAMS, *dvc_lock.written(dvc_lock.workspace())}
    return any(path in written for path in revisions.changed())


def all_are_results(paths: Iterable[str]) -> bool:
    """Whether nothing but the results of retrainings lies at these paths."""
    written = set(dvc_lock.written(dvc_lock.workspace()))
    return all(_is_result(path, written) for path in paths)


def _is_result(path: str, written: set[str]) -> bool:
    return (
        path in {LOCK, PARAMS, str(champion.PATH), *champion.FILES, str(champion.GATE_REPORT), *written}
        or path.startswith(f"{REPORT}/")
        or path in {f"{Path(out).parent}/.gitignore" for out in written}  # DVC's, for outputs that ours does not name
    )


def _within(path: str, places: Container[str]) -> bool:
    """Whether a path is one of these, or lies in one."""
    return path in places or any(str(parent) in places for parent in PurePosixPath(path).parents)


def _is_written(path: str, written: set[str]) -> bool:
    """Whether stages write what is at a path: the path itself, what it lies in, or what lies in it."""
    return _within(path, written) or any(_within(out, {path}) for out in written)
