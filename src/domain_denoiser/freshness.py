"""Is dvc.lock what code and params say?"""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from os import devnull
from pathlib import Path

from domain_denoiser import commands, dvc_project, merging
from domain_denoiser.checks import OK, Check
from domain_denoiser.masking import masked

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
    try:
        # What `dvc repro --dry --allow-missing` does; it prints what it would run.
        with dvc_project.opened() as repo, _silence():
            return [stage.addressing for stage in repo.reproduce(dry=True, allow_missing=True)]
    except ReproductionError as error:
        # DVC wants to hash what a stale stage reads, and gives up on the first whose data is not here. What else it may
        # give up on (a path that another DVC writes, a damaged list of locks) says nothing of a stage.
        stale = re.fullmatch(r"failed to reproduce '([^']+)'", str(error))
        if stale is None or not isinstance(error.__cause__, FileNotFoundError):
            raise _failed(error.__cause__ or error) from error
        return [stale[1]]
    except (DvcException, SCMError, OSError) as error:
        raise _failed(error) from error


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


def _failed(error: BaseException) -> commands.Failed:
    reasons = dict.fromkeys(str(one) for one in (error, error.__cause__) if one is not None)
    said = masked(" ".join(": ".join(reasons).split()))[: commands.LONGEST]
    return commands.Failed(f"DVC cannot say what is stale: {said}")
