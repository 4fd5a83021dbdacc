"""`denoise verify`: are the files here what dvc.lock says?

Every byte is read: DVC trusts file mode, size and mtime, and this does not.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from domain_denoiser import params
from domain_denoiser.base import parsing
from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations.checks import NOTE, OK, Check
from domain_denoiser.operations.verify import cache, chain, declared, files, fixes, inventory, promoted, study, tracked
from domain_denoiser.runs import dvc_lock, revisions
from domain_denoiser.runs.dvc_lock import Stage


def checks(retrain: Collection[str], quick: bool) -> Iterator[Check]:
    """Look at the project in the working directory, one check after another; nothing in it is changed.

    retrain: trainings to be done again; quick: hashes only, nothing is computed.
    Raises BadInput if there is nothing to verify, or a file that must be read first is not valid;
    commands.Failed if there is no room for a copy.
    """
    revisions.require()
    settings = params.read(Path("params.yaml"))
    values = parsing.parse(Path("params.yaml").read_bytes(), "params.yaml")
    stages, project = dvc_lock.workspace(), declared.read()
    if not stages:
        raise BadInput("the working directory has no dvc.lock with results: run `make repro`")
    known = {name: stages[name] for name in project.stages if name in stages}  # upstream first
    trainings = _trainings(known, retrain)
    outputs = inventory.take(known, project)
    broken = chain.breaks(known, project, outputs, values)
    stale = {name for found in broken for name in found.stages}
    # What the commit puts right comes first: what is made again below is made by the right code then.
    yield from (found.check for found in broken if found.check.fix != fixes.REPRODUCE)
    yield from files.check(outputs, chain.fresh(known, outputs, broken), project.remote)
    yield from cache.check(project.cache, {kept.path for output in outputs for kept in output.objects})
    for name in (name for name in stages if name not in known):
        yield Check(NOTE, f"{name}: in dvc.lock, but not declared in dvc.yaml, so not checked")
    if not broken:
        read = sum(len(stage.deps) for stage in known.values())
        said = f"chain: {len(known)} stages, {read} files read as they were written, and params as they are set"
        yield Check(OK, said)
    yield from (found.check for found in broken if found.check.fix == fixes.REPRODUCE)
    beside = study.take(project)
    yield from study.check(beside)
    yield from tracked.check([*outputs, *beside])
    yield from promoted.check()
    if not quick:
        from domain_denoiser.operations.verify import recomputed

        yield from recomputed.check(known, outputs, stale, settings.compute)
        current = {stage.key for name, stage in known.items() if name not in stale}
        yield from promoted.compute(settings.compute.threads, current)
    for name in trainings:
        from domain_denoiser.operations.verify import retrained

        yield retrained.check(known[name], known, outputs, stale)


def _trainings(stages: Mapping[str, Stage], wanted: Collection[str]) -> list[str]:
    there = [name for name in stages if name.startswith("train@")]
    for name in wanted:
        if name not in there:
            raise BadInput(f"--retrain wants one of {', '.join(there) or '(none yet)'}, not {name!r}")
    return list(dict.fromkeys(wanted))
