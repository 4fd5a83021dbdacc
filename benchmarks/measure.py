"""What every measurement here needs: things timed in turn, and tables kept in the documents that speak of them."""

import os
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from domain_denoiser.base import atomic
from domain_denoiser.core import compute

ROUNDS = 4  # times as many as repeats, at most, in which both of two kinds of times are looked for
LEAST = 3  # times that make a median
PERFORMANCE = Path("docs/performance.md")  # the page of tables


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def interleaved(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The median seconds of each, measured in turn, so that a busy minute of the machine falls on all alike."""
    measured = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            measured[name].append(seconds(work))
    return {name: statistics.median(values) for name, values in measured.items()}


def interleaved_by(
    works: Mapping[str, Callable[[], object]], repeats: int, holds: Callable[[], bool]
) -> tuple[dict[str, float], dict[str, float]]:
    """The same in two: while `holds()` did before and after the work, and otherwise.

    Each is measured until it has `repeats` of the first kind, in at most ROUNDS times as many rounds. With fewer than
    LEAST of a kind it is absent there.
    """
    held, others = {name: [] for name in works}, {name: [] for name in works}
    for _ in range(ROUNDS * repeats):
        for name, work in works.items():
            if len(held[name]) < repeats:
                before, taken, after = holds(), seconds(work), holds()
                (held if before and after else others)[name].append(taken)
    first, second = (
        {name: statistics.median(values) for name, values in kind.items() if len(values) >= LEAST}
        for kind in (held, others)
    )
    return first, second


def table(header: str, rows: list[list[str]]) -> str:
    """A Markdown table; `header` has its columns between bars, all but the first to the right."""
    columns = [column.strip() for column in header.split("|")]
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def limited() -> bool:
    """Whether torch is kept to fewer instructions than the processor has."""
    return "ATEN_CPU_CAPABILITY" in os.environ


def bfloat16() -> list[str]:
    """The instructions for bfloat16 that may be used; without them torch emulates it, slowly."""
    return [] if limited() else compute.bfloat16_instructions()


def machine() -> str:
    """The kind of this machine, as far as speeds depend on it."""
    capability = torch.backends.cpu.get_cpu_capability()
    more = "limited to it" if limited() else ", ".join(bfloat16()) or "no bfloat16"
    return f"{len(os.sched_getaffinity(0))} cores with {capability} ({more})"


def parts(page: Path, section: str) -> tuple[str, str, str]:
    """What stands on the page up to the first mark of the section, between its marks, and from the last on."""
    begin, end = f"<!-- {section}: measured, not typed -->", f"<!-- end of {section} -->"
    before, begun, rest = page.read_text().partition(begin)
    stood, ended, after = rest.partition(end)
    if not (begun and ended):
        raise ValueError(f"{page} has no place for the section {section!r}")
    return before + begin, stood, end + after


def keep(page: Path, section: str, text: str) -> None:
    """Put `text` in the place of what stood on the page between the marks of the section."""
    before, _, after = parts(page, section)
    with atomic.file(page) as temporary:
        temporary.write_text(f"{before}\n{text}\n{after}")
    print(f"\n{section}\n{text}", flush=True)


def keep_speeds(section: str, text: str) -> None:
    """The same on the page of speeds, where what other kinds of machines took stays beside it."""
    _, stood, _ = parts(PERFORMANCE, section)
    head, others = f"**On {machine()}**", re.split(r"(?=^\*\*On )", stood, flags=re.MULTILINE)[1:]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True).stdout
    blocks = [f"{head}, commit {commit.strip()}\n\n{text}", *(block for block in others if not block.startswith(head))]
    keep(PERFORMANCE, section, "\n\n".join(block.strip() for block in blocks))
