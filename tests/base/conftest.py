"""What every test of this room gets."""

import signal
from collections.abc import Iterator

import pytest

from domain_denoiser.base import signals


@pytest.fixture(autouse=True)
def handlers_come_back() -> Iterator[None]:
    """Those of signals, which `signals.heeded` leaves ignored when a program is ending."""
    before = {number: signal.getsignal(number) for number in signals.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
