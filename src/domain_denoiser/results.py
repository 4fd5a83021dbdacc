"""The files in git that a retraining changes."""

from pathlib import Path

from domain_denoiser import champion, lineage, revisions

LOCK = "dvc.lock"
PARAMS = "params.yaml"
REPORT = Path("reports/retraining")  # the folder of the last report


def uncommitted() -> list[str]:
    """Those that differ from the commit."""
    return [path for path in revisions.changed() if _is_result(path, set(lineage.written(lineage.workspace())))]


def uncommitted_others() -> list[str]:
    """What else that git tracks differs from the commit."""
    written = set(lineage.written(lineage.workspace()))
    return [path for path in revisions.changed() if not _is_result(path, written) and revisions.tracks(path)]


def unfinished() -> bool:
    """Whether params or what the pipeline wrote differ from the commit: a retraining began and is not proposed."""
    written = {LOCK, PARAMS, *lineage.written(lineage.workspace())}
    return any(path in written for path in revisions.changed())


def _is_result(path: str, written: set[str]) -> bool:
    return (
        path in {LOCK, PARAMS, str(champion.PATH), *champion.FILES, str(champion.GATE_REPORT), *written}
        or path.startswith(f"{REPORT}/")
        or path in {f"{Path(out).parent}/.gitignore" for out in written}  # DVC's, beside what it keeps itself
    )
