"""What a stage tells the process that tracks it, also when that one is slow, silent or dead."""

import json
import os
import threading
import time

import pytest

from domain_denoiser.runs import live


@pytest.fixture
def pipe():
    """The two ends of a pipe: to be read, and to be written."""
    ends = list(os.pipe())
    yield ends
    for end in ends:
        os.close(end)


def read(pipe: int, count: int) -> list[dict]:
    content = b""
    while content.count(b"\n") < count and (found := os.read(pipe, 1 << 16)):
        content += found
    return [json.loads(line) for line in content.splitlines()]


def test_a_full_pipe_loses_nothing(pipe: list[int]) -> None:
    lines = live.Lines(pipe[1])
    told = [{"row": {"epoch": epoch, "loss": 0.123456789}} for epoch in range(5_000)]
    started = time.monotonic()
    for message in told:  # far more than a pipe holds, and nobody reads
        lines.send(message)
    lines.send({"ended": True})
    assert time.monotonic() - started < 5
    found: list[dict] = []
    reader = threading.Thread(target=lambda: found.extend(read(pipe[0], len(told) + 1)))
    reader.start()
    assert lines.flush(time.monotonic() + 60)
    os.close(pipe.pop())  # or a reader that misses a line would wait for ever
    reader.join()
    assert found == [*told, {"ended": True}]


def test_a_reader_that_does_not_read_is_waited_for_so_long_and_no_longer(pipe: list[int]) -> None:
    lines = live.Lines(pipe[1])
    for epoch in range(5_000):
        lines.send({"row": {"epoch": epoch}})
    started = time.monotonic()
    assert not lines.flush(started + 0.2)
    assert 0.2 <= time.monotonic() - started < 5


def test_a_reader_that_is_dead_is_not_waited_for() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    lines = live.Lines(writing)
    lines.send({"row": {}})
    assert lines.flush(time.monotonic() + 60)
    os.close(writing)


def test_what_came_while_the_reader_was_away_is_read_at_once(pipe: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = live.Lines(pipe[1])
    for epoch in range(10_000):
        lines.send({"row": {"epoch": epoch}})
    lines.send({"ended": True})
    flushing = threading.Thread(target=lambda: (lines.flush(time.monotonic() + 60), os.close(os.dup(pipe[1]))))
    with os.fdopen(os.dup(pipe[0])) as standard_input:
        monkeypatch.setattr("sys.stdin", standard_input)
        monkeypatch.setattr(live, "LOOK_S", 0.1)
        flushing.start()
        messages = []
        for found in live._told():
            messages += found
            if {"ended": True} in messages:
                break
    flushing.join()
    assert len(messages) == 10_001
