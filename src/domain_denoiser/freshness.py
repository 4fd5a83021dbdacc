"""Is dvc.lock what code and params say?"""

import re

from domain_denoiser import commands
from domain_denoiser.checks import OK, Check

STALE = "stale"


def check() -> Check:
    """A line on dvc.lock. Raises commands.Failed if DVC cannot read the pipeline."""
    if stale := stale_stages():
        return Check(STALE, f"dvc.lock is not what code and params say: {', '.join(stale)} would run", "make repro")
    return Check(OK, "dvc.lock is what code and params say")


def stale_stages() -> list[str]:
    """The stages that would have to run, as far as is known without running them; none needs its data to be here.

    Raises commands.Failed if DVC cannot read the pipeline, or not now.
    """
    try:
        planned = commands.output("dvc", "repro", "--dry", "--allow-missing")
    except commands.Failed as error:
        # DVC wants to hash what a stale stage reads, and gives up on the first whose data is not here. What else it may
        # give up on (a path that another DVC writes, a damaged list of locks) says nothing of a stage.
        stale = re.search(r"failed to reproduce '([^']+)': \[Errno 2\]", str(error))
        if stale is None:
            raise
        return [stale[1]]
    return [line.split("'")[1] for line in planned.splitlines() if line.startswith("Running stage")]
