"""Which process does a piece of work: a dead one is known, a live one never taken for dead."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from domain_denoiser.base import process_identity
from domain_denoiser.base.process_identity import FIRST_NAMESPACE, is_dead, tags


def ended() -> subprocess.Popen:
    """A process that has ended, and was waited for."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process.told = tags(process.pid)
    process.communicate()
    return process


def test_a_live_process_is_alive_and_an_ended_one_dead() -> None:
    assert not is_dead(tags(os.getpid()))
    assert is_dead(ended().told)


def test_a_process_that_nobody_waited_for_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    told = tags(process.pid)
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_dead(told)
    process.wait()


def test_another_process_with_the_same_number_is_another_one() -> None:
    assert is_dead(tags(os.getpid()) | {"process.start_ticks": "1"})


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"process.host": "another"},
        {"process.namespace": "pid:[1]"},  # another container of the same name, or the machine seen from a container
        {"process.boot": "another", "process.namespace": "pid:[1]"},
        {"process.boot": "another", "process.machine": "another of the same name"},
        {"process.pid": "none"},
    ],
)
def test_what_cannot_be_looked_at_counts_as_alive(elsewhere: dict[str, str]) -> None:
    assert not is_dead(ended().told | elsewhere)


def test_before_the_machine_was_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_identity, "_machine", lambda: "this")
    monkeypatch.setattr(process_identity, "_namespace", lambda: FIRST_NAMESPACE)
    assert is_dead(tags(os.getpid()) | {"process.boot": "the one before"})


def test_without_proc_only_a_number_that_nobody_has_is_dead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dead = ended().pid
    monkeypatch.setattr(process_identity, "PROC", tmp_path)
    assert not is_dead(tags(os.getpid()))
    assert is_dead({"process.host": socket.gethostname(), "process.pid": str(dead)})


def test_the_clock_on_the_wall_tells_nothing() -> None:
    assert tags(os.getpid()).keys() <= {
        f"process.{name}" for name in ("host", "machine", "boot", "namespace", "pid", "start_ticks")
    }
