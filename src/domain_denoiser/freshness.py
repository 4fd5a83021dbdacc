"""Is dvc.lock what code and params say?"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain_denoiser import commands
from domain_denoiser.checks import NOTE, OK, Check

STALE = "stale"
# The folder of each pipeline of the study, and what runs it.
STUDY = {"study": "make study", "study/large": "make large"}


def checks() -> Iterator[Check]:
    """A line on dvc.lock, and if it is fresh one on each lock of the study, which may be stale without being wrong.

    Raises commands.Failed if DVC cannot read a pipeline.
    """
    if stale := stale_stages():
        yield Check(STALE, f"dvc.lock is not what code and params say: {_listed(stale)} would run", "make repro")
        return
    yield Check(OK, "dvc.lock is what code and params say")
    with _study_in_place():
        for folder, mend in STUDY.items():
            # Also one that it reads from: whatever reads the results of a stale stage is stale.
            if stale := stale_stages(f"{folder}/dvc.yaml"):
                yield Check(NOTE, f"{folder}/dvc.lock is of earlier code or params: {_listed(stale)} would run", mend)
            else:
                yield Check(OK, f"{folder}/dvc.lock is what code and params say")


def stale_stages(*pipeline: str) -> list[str]:
    """The stages that would have to run, as far as is known without running them; none needs its data to be here.

    pipeline: another dvc.yaml than that of the root. Raises commands.Failed if DVC cannot read it.
    """
    try:
        planned = commands.output("dvc", "repro", "--dry", "--allow-missing", *pipeline)
    except commands.Failed as error:
        # DVC wants to hash what a stale stage reads, and gives up on the first whose data is not here.
        stale = re.search(r"failed to reproduce '([^']+)'", str(error))
        if stale is None:
            raise
        return [stale[1]]
    return [line.split("'")[1] for line in planned.splitlines() if line.startswith("Running stage")]


@contextmanager
def _study_in_place() -> Iterator[None]:
    """The study's pipelines where DVC looks for them (docs/decisions/study-beside.md)."""
    # Where one is already, `make study` is running.
    absent = [Path(folder) for folder in STUDY if not Path(folder, "dvc.yaml").exists()]
    try:
        for folder in absent:
            shutil.copyfile(folder / "pipeline.yaml", folder / "dvc.yaml")
        yield
    finally:
        for folder in absent:
            (folder / "dvc.yaml").unlink(missing_ok=True)


def _listed(stages: list[str]) -> str:
    return f"{', '.join(stages[:5])}{f' and {len(stages) - 5} more' if len(stages) > 5 else ''}"
