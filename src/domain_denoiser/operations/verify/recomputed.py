"""Do the stored models and noisy images give the stored tables and metrics, when they are evaluated once more?"""

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from domain_denoiser import layout
from domain_denoiser.base import processes
from domain_denoiser.base.errors import BadInput
from domain_denoiser.base.signals import awaited
from domain_denoiser.operations.checks import OK, Check
from domain_denoiser.operations.verify import cleanroom, fixes, hashing, tolerance
from domain_denoiser.operations.verify.inventory import Output
from domain_denoiser.params import Compute
from domain_denoiser.runs.dvc_lock import Stage

DIFFERS, FAILED = "differs", "failed"
AT_ONCE = 4  # evaluations; each takes 0.7 GB of memory, of MNIST


def check(
    stages: Mapping[str, Stage], outputs: Collection[Output], broken: Collection[str], params: Compute
) -> Iterator[Check]:
    """Run every evaluation and the summary again, in a folder of their own, and compare a line a file.

    broken: the stages whose code or params are not those of dvc.lock.
    """
    if (reason := tolerance.no_device(params)) is not None:
        yield Check(FAILED, f"nothing was evaluated again: {reason}", "denoise verify --quick compares hashes alone")
        return
    described = [item.place for output in outputs for item in output.items if item.path.name == layout.PLATFORM]
    here = tolerance.all_made_here((place.read_bytes() for place in described if place is not None), params)
    at_once = max(1, min(processes.processors() // params.threads, AT_ONCE))
    evaluations = [stage for name, stage in stages.items() if name.startswith(("evaluate", "filter@"))]
    again = [*evaluations, *(stage for name, stage in stages.items() if name == "summarise")]
    made = [output for output in outputs if output.stage in {stage.name for stage in again}]
    with ThreadPoolExecutor(at_once) as threads, cleanroom.opened() as room:
        unable = {stage.name: _unable(stage, broken, outputs, made, room) for stage in again}
        running = {s.name: threads.submit(_run, s, room) for s in evaluations if unable[s.name] is None}
        awaited(running.values())
        unable |= {name: run.result() for name, run in running.items()}
        for stage in again:
            if stage not in evaluations and unable[stage.name] is None:  # it reads what those have written
                unable[stage.name] = _run(stage, room)
            if (reason := unable[stage.name]) is not None:
                yield Check(FAILED, f"{stage.name} was not run again: {reason}")
                continue
            yield from (compared(output, room.folder, here) for output in outputs if output.stage == stage.name)


def _unable(
    stage: Stage, broken: Collection[str], outputs: Collection[Output], made: Collection[Output], room: cleanroom.Room
) -> str | None:
    """Bring what a stage reads; why it cannot run, or None."""
    if stage.name in broken:
        return "its code or params have changed"
    try:
        room.bring(stage, outputs, made)
    except cleanroom.Unable as error:
        return str(error)
    return None


def _run(stage: Stage, room: cleanroom.Room) -> str | None:
    """Why it did not end well, or None."""
    try:
        room.run(stage, None)
    except cleanroom.Unable as error:
        return str(error)
    return None


def compared(output: Output, folder: Path, same_platform: bool) -> Check:
    """An output beside the one that was made again in the folder: bytes, or what machines may differ by."""
    path = Path(output.path)
    if hashing.find(folder / path).md5 == output.md5:
        return Check(OK, f"{path}: computed again, equal bytes")
    fix = fixes.again(output.stage)
    if same_platform:
        return Check(DIFFERS, f"{path}: computed again on the same kind of machine, and other bytes came out", fix)
    place = output.items[0].place
    if place is None:
        return Check(FAILED, f"{path}: computed again on another kind of machine, with nothing here to compare with")
    try:
        apart = tolerance.distance(
            tolerance.read(path, place.read_bytes()), tolerance.read(path, (folder / path).read_bytes())
        )
    except BadInput as error:
        return Check(DIFFERS, str(error), fix)
    if apart is None:
        return Check(DIFFERS, f"{path}: computed again, it has other rows or columns", fix)
    said = f"{path}: computed again on another kind of machine, apart at most: {tolerance.as_text(apart)}"
    if tolerance.within(apart):
        return Check(OK, said)
    return Check(DIFFERS, f"{said}; that is more than machines differ", fix)
