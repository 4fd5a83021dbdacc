"""The one way in which bad input reaches the person who gave it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class BadInput(Exception):
    """What was found, what was wanted and where, in one sentence."""


@contextmanager
def one_sentence() -> Iterator[None]:
    """End the program with exit status 2 and one sentence, not a traceback, when a `BadInput` passes."""
    try:
        yield
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
