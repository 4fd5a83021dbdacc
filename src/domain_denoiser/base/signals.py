"""Signals that ask the program to end: raised as an exception, so that half-written files are cleared away."""

import signal
import threading
from collections.abc import Collection, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HEEDED_EVERY_S = 0.5


class Stopped(BaseException):
    """A signal came. Neither handlers of errors nor those of Ctrl-C, which command lines have, stop it on its way."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def heeded() -> Iterator[None]:
    """Inside, each of the signals raises `Stopped`, as often as it comes. For the main thread.

    When the block ends by that, the program is ending: from then on the signals are ignored.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    # What the parent chose to ignore, as nohup does, stays ignored.
    before = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    after = before
    try:
        for number in before:
            signal.signal(number, stop)
        yield
    except Stopped:
        after = dict.fromkeys(before, signal.SIG_IGN)
        raise
    finally:
        for number, handler in after.items():
            signal.signal(number, handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """What must not be left half done, and takes a moment only: a signal that comes inside is heeded at the end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    # Not by blocking them: torch's threads would take them in the main thread's place.
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number, handler in before.items():
            if handler is not None:  # one that was not set from Python cannot be put back
                signal.signal(number, lambda number, frame: came.append(number))
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def awaited(futures: Collection[Future]) -> None:
    """Wait until all have ended, and heed signals meanwhile. For the main thread.

    CPython looks for signals before it waits for a lock, and a signal interrupts the wait. One that comes between the
    two, where several threads are busy, is heeded only when the wait ends. So no single wait is long.
    """
    while wait(futures, HEEDED_EVERY_S).not_done:
        pass
