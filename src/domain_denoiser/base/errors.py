"""The one way in which bad input, a failing machine or an interruption reaches the person: one sentence.

Exit status: 2 for bad input, 1 for a machine that fails (no space, no permission, no memory), 128 + the signal's number
for an interruption, as shells have it: 130 for Ctrl-C, 143 for SIGTERM.
"""

import os
import re
import sqlite3
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from domain_denoiser.base.secrets import masked
from domain_denoiser.base.signals import Stopped, heeded

LONGEST = 2_000  # characters of a sentence
PACKAGE = __name__.partition(".")[0]
# What torch, oneDNN and the dynamic loader say when they get no memory.
_NO_MEMORY = re.compile(
    "can(no|')t allocate memory|out of memory|bad_alloc|failed to map segment|could not create a (primitive|memory)$",
    re.IGNORECASE,
)


class BadInput(Exception):
    """What was found, what was wanted and where, in one sentence."""


@contextmanager
def one_sentence() -> Iterator[None]:
    """End the program with one sentence instead of a traceback, and with the exit status that goes with it.

    Inside, SIGINT, SIGTERM and SIGHUP raise `stopping.Stopped`.
    """
    try:
        with heeded():
            try:
                yield
            except Exception as error:
                if (stopped := _stopped(error)) is not None:
                    raise stopped from error
                raise
            finally:
                _flush()  # what cannot be written any more is an error too
    except BadInput as error:
        end(str(error), 2)
    except Stopped as stopped:
        end(f"stopped by {stopped}", 128 + stopped.number)
    except BrokenPipeError:  # whoever read what this prints has seen enough
        _forget_output()
        sys.exit(1)
    except OSError as error:
        _forget_output()
        end(_of_the_machine(error), 1)
    except Exception as error:
        if _lacks_memory(error):
            end("there is not enough memory for this", 1)
        if isinstance(error, ModuleNotFoundError) and not (error.name or PACKAGE).startswith(PACKAGE):
            needed = f"this command needs the pipeline's packages ({error.name} is not installed)"
            end(f"{needed}: pip install 'domain-denoiser[pipeline]', or `make setup` in a clone", 2)
        if isinstance(error, sqlite3.Error):  # DVC keeps notes in databases
            end(f"a database fails: {error}", 1)
        # A mistake in the program: whoever fixes it needs to know where, but not the passwords.
        _say(masked(traceback.format_exc()))
        sys.exit(1)


def end(sentence: str, status: int) -> None:
    """Say it in one line, without control characters and without secrets, and end the program with the status."""
    _say(f"error: {one_line(masked(sentence))}")
    sys.exit(status)


def one_line(text: str) -> str:
    """A path, a key or a value may hold line ends and control characters; these are spelled out. At most `LONGEST`."""
    return printable(text) if len(text) <= LONGEST else f"{printable(text[:LONGEST])} ..."


def printable(text: str) -> str:
    """What no terminal takes for a command, and every encoding can say."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def _stopped(error: BaseException | None) -> Stopped | None:
    """The signal that another error was made of: where it comes during an import, that fails."""
    while not (error is None or isinstance(error, Stopped)):
        error = error.__cause__ or error.__context__
    return error


def _of_the_machine(error: OSError) -> str:
    said = error.strerror or str(error)
    return said if error.filename is None else f"{os.fsdecode(error.filename)}: {said}"


def _lacks_memory(error: Exception) -> bool:
    known = isinstance(error, (RuntimeError, ImportError)) and _NO_MEMORY.search(str(error)) is not None
    return known or isinstance(error, MemoryError)


def _forget_output() -> None:
    """What standard output could not take is not tried again at the end of the program, which would complain again."""
    try:
        _flush()
    except OSError:
        with suppress(OSError), Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _flush() -> None:
    if sys.stdout is not None:  # as it is where somebody closed it
        sys.stdout.flush()


def _say(text: str) -> None:
    if sys.stderr is not None:  # print would take standard output for it
        print(text, file=sys.stderr)
