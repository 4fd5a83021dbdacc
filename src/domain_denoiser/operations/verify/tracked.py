"""What git keeps beside the results and dvc.lock does not name: champion, reports of retrainings."""

from collections.abc import Collection, Iterator
from pathlib import Path

from domain_denoiser import layout
from domain_denoiser.operations.checks import NOTE, OK, Check
from domain_denoiser.operations.retraining.results import LOCK
from domain_denoiser.operations.verify import fixes
from domain_denoiser.operations.verify.declared import within
from domain_denoiser.operations.verify.inventory import Output
from domain_denoiser.runs import champion, revisions

PLACES = ("data", str(layout.MODELS), "reports", str(champion.PATH))
DECISIONS = (str(champion.PATH), str(champion.GATE_REPORT))
CHANGED = "changed"


def check(outputs: Collection[Output]) -> Iterator[Check]:
    """Whether these files are what the commit has."""
    commit = revisions.head()
    if commit is None:
        yield Check(NOTE, "git: there is no commit yet that files could be compared with")
        return
    names = revisions.listed(commit, *PLACES)
    others = [name for name in names if not any(within(name, output.path) for output in outputs)]
    different = [name for name in others if not _as_committed(name)]
    # New results bring new reports with them, which are committed together.
    settled = _as_committed(LOCK)
    yield Check(OK, f"git: {len(others) - len(different)} other files in {', '.join(PLACES)} as the commit has them")
    for name in different:
        said = f"{name}: not what the commit has"
        if not settled:
            yield Check(NOTE, f"{said}, and not checked, as {LOCK} is not committed yet")
            continue
        said += "; if the gate or a promotion wrote it, commit it" if name in DECISIONS else ""
        yield Check(CHANGED, said, fixes.committed(Path(name)))


def _as_committed(name: str) -> bool:
    path = Path(name)
    return path.is_file() and path.read_bytes() == revisions.committed(name)
