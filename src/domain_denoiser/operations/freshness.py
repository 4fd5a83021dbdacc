"""Is dvc.lock what code and params say?"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from os import devnull
from pathlib import Path
from typing import TYPE_CHECKING

from domain_denoiser.base import merging, processes
from domain_denoiser.base.secrets import masked
from domain_denoiser.operations.checks import OK, Check
from domain_denoiser.runs import dvc_project

if TYPE_CHECKING:
    from dvc.stage import Stage

STALE = "stale"


def check() -> Check:
    """A line on dvc.lock. Raises commands.Failed if DVC cannot read the pipeline."""
    if stale := stale_stages():
        return Check(STALE, f"dvc.lock is not what code and params say: {', '.join(stale)} would run", "make repro")
    return Check(OK, "dvc.lock is what code and params say")


def stale_stages() -> list[str]:
    """The stages that would have to run, as far as is known without running them; none needs its data to be here.

    Raises BadInput if a merge has left both sides in dvc.lock, commands.Failed if DVC cannot read the pipeline, or not
    now.
    """
    from dvc.exceptions import DvcException, ReproductionError
    from dvc.scm import SCMError

    merging.refuse(Path("dvc.yaml"), Path("params.yaml"), *merging.LOCKS)
    stale = []

    def look(stage: "Stage", **how: object) -> "Stage | None":
        try:
            changed = stage.reproduce(**how)
        except FileNotFoundError:  # DVC wants to hash what a stale stage reads, and that is not here
            changed = stage
        stale.extend([] if changed is None else [stage.addressing])
        return changed

    try:
        # What `dvc repro --dry --allow-missing` does, stage by stage.
        with dvc_project.opened() as repo, _silence():
            repo.reproduce(dry=True, allow_missing=True, repro_fn=look)
    except ReproductionError as error:
        # Of a stage behind a stale one nothing can be known. Whatever else DVC gives up on (a path that another DVC
        # writes, a damaged list of locks) says nothing of a stage.
        if not stale:
            raise _failed(error) from error
    except (DvcException, SCMError, OSError) as error:
        raise _failed(error) from error
    return stale


@contextmanager
def _silence() -> Iterator[None]:
    """DVC prints and logs a line for each stage, and what it imports warns of itself."""
    logger = logging.getLogger("dvc")
    level = logger.level
    with Path(devnull).open("w") as nowhere, redirect_stdout(nowhere), warnings.catch_warnings():
        logger.setLevel(logging.CRITICAL)
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)


def _failed(error: BaseException) -> processes.Failed:
    reasons = dict.fromkeys(str(one) for one in (error, error.__cause__) if one is not None)
    said = masked(" ".join(": ".join(reasons).split()))[: processes.LONGEST]
    return processes.Failed(f"DVC cannot say what is stale: {said}")
