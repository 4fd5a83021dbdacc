"""Is champion/ what champion.json says, and does its graph do what today's code does with its weights?"""

from collections.abc import Collection, Iterator
from pathlib import Path

from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations.checks import NOTE, OK, Check
from domain_denoiser.operations.verify import fixes, hashing
from domain_denoiser.operations.verify.files import UNEXPECTED, problem, verdict
from domain_denoiser.runs import champion, revisions
from domain_denoiser.runs.champion import Champion

INVALID, DIFFERS = "invalid", "differs"
PROMOTE = f"rm {champion.PATH} && denoise promote"


def check() -> Iterator[Check]:
    """A line for what is right, and one for each file that is not."""
    try:
        present = champion.read()
    except champion.OldForm as error:
        yield Check(INVALID, str(error), PROMOTE)
        return
    except BadInput as error:
        if champion.PATH.read_bytes() == revisions.committed(str(champion.PATH)):  # else it is named as changed
            yield Check(INVALID, str(error), PROMOTE)
        return
    named = {} if present is None else present.files
    found = {path: hashing.find(Path(path)) for path in named}
    bad = [path for path, md5 in named.items() if found[path].md5 != md5]
    if present is not None and not bad:
        yield Check(OK, f"champion: {len(named)} files as {champion.PATH} says of {present.model} {present.key[:12]}")
    # Where champion.json is what somebody changed, it is named as changed, and its files are not.
    for path in [] if bad and _as_the_commit_says(found) else bad:
        fix = fixes.committed(Path(path)) if fixes.in_commit(Path(path), named[path]) else "denoise recover"
        yield Check(verdict(found[path]), f"{path}{problem(found[path], named[path])}", fix)
    unexpected = [path for path in sorted(champion.FOLDER.rglob("*")) if path.is_file() and str(path) not in named]
    for path in unexpected:
        yield Check(UNEXPECTED, f"{path}: {champion.PATH} names no such file", fixes.without([path]))


def _as_the_commit_says(found: dict[str, hashing.Found]) -> bool:
    """Whether the files are those of the commit's champion.json, which differs from the one here."""
    try:
        committed = champion.committed()
    except BadInput:
        return False
    return committed is not None and all(found[path].md5 == md5 for path, md5 in committed.files.items())


def compute(threads: int, current: Collection[str]) -> Iterator[Check]:
    """Restore images by the graph and by the network that today's code builds of the weights.

    current: the keys of the trainings whose code is today's. The network of an older champion may be another one by
    now, which is no fault: what is used is the graph.
    """
    try:
        present = champion.read()
    except BadInput:
        return
    if present is None or champion.wrong(present):
        return
    said = f"{champion.GRAPH}: beside today's network of the same weights"
    try:
        apart = _apart(present, threads)
    except BadInput as error:
        yield Check(DIFFERS if present.key in current else NOTE, f"{said}: {error}")
        return
    from domain_denoiser.networks import exporting

    if apart <= exporting.TOLERANCE:
        yield Check(OK, f"{said}, apart by at most {apart:.2g}")
    elif present.key in current:
        yield Check(DIFFERS, f"{said}, apart by {apart:.2g}", PROMOTE)
    else:
        yield Check(NOTE, f"{said}, apart by {apart:.2g}: the code has changed since; the graph is what is used")


def _apart(present: Champion, threads: int) -> float:
    from domain_denoiser.networks import exporting, stored
    from domain_denoiser.runtime.graphs import Graph

    graph = Graph(champion.graph(present), champion.GRAPH, threads)
    network, settings = stored.load(champion.FOLDER, "cpu"), stored.load_settings(champion.FOLDER)
    return exporting.difference(network, settings, graph, seed=0)
