import signal
import threading
from concurrent.futures import Future

import pytest

from domain_denoiser.base import errors, signals
from domain_denoiser.base.signals import Stopped


@pytest.mark.parametrize("number", signals.SIGNALS)
def test_a_signal_is_an_exception_that_no_handler_of_errors_stops(number):
    with pytest.raises(Stopped) as stopped, signals.heeded():
        try:
            signal.raise_signal(number)
        except (Exception, KeyboardInterrupt):
            pytest.fail("it was taken for an error")
    assert (stopped.value.number, str(stopped.value)) == (number, number.name)
    assert signal.getsignal(number) is signal.SIG_IGN  # the program is ending


def test_a_signal_that_does_not_interrupt_a_wait_is_heeded_all_the_same():
    """As one does not that comes just before the wait, or that another thread takes: this one is easier to have."""
    endless = Future()
    limit = threading.Timer(30, endless.set_result, (None,))
    takes = threading.Timer(0.2, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM))
    with pytest.raises(Stopped), signals.heeded():
        takes.start()
        limit.start()
        signals.awaited([endless])
    limit.cancel()
    assert not endless.done()


def test_what_was_ignored_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with signals.heeded():
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_handlers_are_put_back_when_nothing_came():
    before = signal.getsignal(signal.SIGTERM)
    with signals.heeded():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_waits_until_what_must_not_be_half_done_is_done():
    done = []
    with pytest.raises(Stopped), signals.heeded():
        with signals.undisturbed():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            done.append("all of it")
        done.append("too much")
    assert done == ["all of it"]


def test_an_error_inside_is_not_lost_when_a_signal_came():
    with pytest.raises(Stopped) as stopped, signals.heeded(), signals.undisturbed():
        signal.raise_signal(signal.SIGTERM)
        raise RuntimeError("half way")
    assert isinstance(stopped.value.__context__, RuntimeError)


def test_what_an_import_made_of_a_signal_is_that_signal(capsys):
    with pytest.raises(SystemExit) as ended, errors.one_sentence():
        try:
            raise Stopped(signal.SIGTERM)
        except Stopped as stopped:
            raise ImportError("initialization failed") from stopped
    assert (ended.value.code, capsys.readouterr().err) == (143, "error: stopped by SIGTERM\n")
