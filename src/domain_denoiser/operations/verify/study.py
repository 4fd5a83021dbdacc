"""Are the study's files what its own dvc.lock says? They need not be here at all."""

from collections.abc import Collection, Iterator
from pathlib import Path

from domain_denoiser.operations.checks import OK, Check
from domain_denoiser.operations.verify import fixes, inventory
from domain_denoiser.operations.verify.declared import Declared, Project
from domain_denoiser.operations.verify.files import DAMAGED, problem, verdict
from domain_denoiser.operations.verify.inventory import Output
from domain_denoiser.runs import dvc_lock, revisions

LOCK = Path("study/dvc.lock")
MAKE = "make study"


def take(project: Project) -> list[Output]:
    """Look at the study's outputs that lie in the workspace. Raises BadInput if its dvc.lock is not valid."""
    stages = dvc_lock.locked(LOCK.read_bytes(), str(LOCK)) if LOCK.is_file() else {}
    # DVC does not see the study's stages unless it runs, so git says which files DVC leaves to it.
    in_git = revisions.tracked(dvc_lock.written(stages))
    declares = {
        name: Declared(stage.cmd, frozenset(), frozenset(), {out: out not in in_git for out in stage.outs})
        for name, stage in stages.items()
    }
    outputs = inventory.take(stages, project._replace(stages=declares))
    return [output for output in outputs if Path(output.path).exists()]


def check(outputs: Collection[Output]) -> Iterator[Check]:
    """A line for what is right, and one for each thing that is not."""
    if outputs:
        right = sum(item.right for output in outputs for item in output.items)
        yield Check(OK, f"study: {right} files as {LOCK} says")
    for output in outputs:
        if not output.known:
            said = f"{output.path} is not what {LOCK} says; which of its files is not known, as its listing is lost"
            yield Check(DAMAGED, said, fixes.without([Path(output.path)], MAKE))
        for item in output.items:
            if not item.right:
                restore = fixes.without([item.path], MAKE)
                fix = fixes.committed(item.path) if fixes.in_commit(item.path, item.md5) else restore
                yield Check(verdict(item.found), f"{item.path}{problem(item.found, item.md5)}", fix)
