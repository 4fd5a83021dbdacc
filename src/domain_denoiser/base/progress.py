"""A bar in a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
HALF_A_MINUTE = 30.0  # seconds between two lines in a log


class Bar(tqdm):
    """A bar without tqdm's thread, whose start is waited for without end when there is no memory for it."""

    monitor_interval = 0


def track(items: Iterable[Item], total: int, doing: str, unit: str) -> Iterator[Item]:
    """Yield the items and show how far it has come; without a terminal, one line at the end."""
    with bar(total, doing, unit) as shown:
        for item in items:
            yield item
            shown.update()


@contextmanager
def bar(total: int, doing: str, unit: str) -> Iterator[Bar]:
    """A bar of `total` units. Without a terminal it stays silent until one line when the block ends well."""
    terminal = sys.stderr.isatty()
    with Bar(total=total, desc=doing, unit=unit, disable=not terminal, unit_scale=True) as shown:
        yield shown
    if not terminal:
        print(f"{doing}: {total} {unit} done", file=sys.stderr, flush=True)


@contextmanager
def counter(total: int, doing: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Yield what counts: called with how many more are done, and how many more than was thought there are.

    A bar in a terminal; without one, a line every half minute.
    """
    terminal = sys.stderr.isatty()
    with Bar(total=total, desc=doing, unit=f" {unit}", disable=not terminal, unit_scale=True) as shown:
        done, expected, started = 0, total, time.monotonic()
        told = started

        def count(more: int, further: int) -> None:
            nonlocal done, expected, told
            done, expected, now = done + more, expected + further, time.monotonic()
            shown.total = expected
            shown.update(more)
            if not terminal and now - told >= HALF_A_MINUTE:
                told = now
                line(f"{doing}: {done:,} of {expected:,} {unit}, {done / (now - started):,.1f} {unit}/s")

        yield count


@contextmanager
def epochs(total: int, doing: str, images: int, done: int) -> Iterator[Callable[[dict[str, float]], None]]:
    """Show training: call what it yields with each epoch's row of history.

    images: of one epoch; done: epochs that an earlier process has behind it.
    """
    terminal = sys.stderr.isatty()
    with Bar(total=total, initial=done, desc=doing, unit="epoch", disable=not terminal) as shown:
        started = [time.perf_counter()]

        def show(row: dict[str, float]) -> None:
            now = time.perf_counter()
            per_second = images / (now - started[-1])
            started.append(now)
            text = f"loss {row['train_loss']:.5f}, val PSNR {row['val_psnr_db']:.2f} dB, {per_second:,.0f} images/s"
            shown.set_postfix_str(text)
            shown.update()
            if not terminal:
                print(f"{doing}: epoch {row['epoch']}/{total}, {text}", file=sys.stderr, flush=True)

        yield show


def line(text: str) -> None:
    """One plain line above whatever bar is shown."""
    if sys.stderr is None:  # it was closed: nobody listens
        return
    Bar.write(text, file=sys.stderr)
    sys.stderr.flush()
