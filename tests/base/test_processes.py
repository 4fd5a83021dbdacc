import io
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_denoiser.base import processes, signals
from domain_denoiser.base.signals import Stopped


def test_a_signal_that_another_thread_takes_ends_what_was_started(tmp_path: Path):
    """It interrupts nobody who reads what the program prints."""
    end = tmp_path / "end"
    program = "import sys, time; time.sleep(30); open(sys.argv[1], 'w')"
    takes = threading.Timer(0.2, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM))
    with pytest.raises(Stopped), signals.heeded():
        takes.start()
        processes.run(sys.executable, "-c", program, str(end))
    assert not end.exists()


def test_an_error_in_what_is_given_the_lines_ends_what_was_started(tmp_path: Path):
    end = tmp_path / "end"
    program = "import sys, time; print('a line', flush=True); time.sleep(30); open(sys.argv[1], 'w')"

    def fail(line: str) -> None:
        raise ValueError(line)

    with pytest.raises(ValueError, match="a line"):
        processes.run(sys.executable, "-c", program, str(end), on_line=fail)
    assert not end.exists()


@given(
    st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b"\r", "ü".encode(), b"\xff", b"\xc3", b"\x0c", "\u2028".encode()]))
)
def test_lines_are_those_of_reading(parts: list[bytes]):
    content = b"".join(parts)
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="replace") as pipe:
        found = list(processes._lines(pipe))
    assert found == list(io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", errors="replace"))
