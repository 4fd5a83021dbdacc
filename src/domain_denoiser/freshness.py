"""Is dvc.lock what code and params say?"""

from domain_denoiser import commands


def stale_stages() -> list[str]:
    """The stages that would have to run, as far as is known without running them; none needs its data to be here.

    Raises commands.Failed if DVC cannot read the pipeline.
    """
    planned = commands.output("dvc", "repro", "--dry", "--allow-missing")
    return [line.split("'")[1] for line in planned.splitlines() if line.startswith("Running stage")]
