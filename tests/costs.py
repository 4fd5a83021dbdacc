"""A pytest plugin: `pytest --costs FILE.csv` writes what each file of tests took, in CPU and wall seconds.

What the warm process ran for a test counts as well. `FILE.csv.tests` has a line a test, without that.
"""

import csv
import json
import os
import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import warm

USAGES = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--costs", type=Path, help="write CPU and wall seconds by file there")


def cpu_s() -> float:
    """Of this process and of what it started and waited for."""
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, USAGES))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    before, started = cpu_s(), time.monotonic()
    try:
        return (yield)
    finally:
        if path := item.config.getoption("costs"):
            with _lines(path).open("a") as written:
                row = [item.nodeid, cpu_s() - before, time.monotonic() - started]
                written.write(f"{json.dumps(row)}\n")


def pytest_sessionstart(session: pytest.Session) -> None:
    path = session.config.getoption("costs")
    if path and not _is_worker():
        _lines(path).unlink(missing_ok=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("costs")
    if path is None or _is_worker() or not _lines(path).exists():
        return
    spent = defaultdict(lambda: [0.0, 0.0])
    for test, cpu, wall in map(json.loads, _lines(path).read_text().splitlines()):
        spent[_file(test)][0] += cpu
        spent[_file(test)][1] += wall
    for test, cpu in warm.costs(os.getpid()):
        spent[_file(test)][0] += cpu
    with path.open("w", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(["tests", "cpu_s", "wall_s"])
        writer.writerows([name, f"{cpu:.1f}", f"{wall:.1f}"] for name, (cpu, wall) in sorted(spent.items()))


def _file(test: str) -> str:
    return test.partition("::")[0]


def _lines(path: Path) -> Path:
    return path.with_name(f"{path.name}.tests")


def _is_worker() -> bool:
    return "PYTEST_XDIST_WORKER" in os.environ
