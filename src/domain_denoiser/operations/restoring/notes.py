"""Sentences about files, each kind of sentence once: of a thousand files all may have the same to say."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from domain_denoiser.base import progress
from domain_denoiser.base.errors import printable


@contextmanager
def once() -> Iterator[Callable[[Path, str], None]]:
    """Yield what says a sentence about a file on standard error; at the end it says how many more are like that."""
    said: Counter[str] = Counter()
    first: dict[str, str] = {}

    def note(path: Path, sentence: str) -> None:
        kind = re.sub(r"\d", "", sentence.replace(str(path), ""))  # the file's own numbers do not make it another kind
        said[kind] += 1
        if said[kind] == 1:
            first[kind] = sentence
            progress.line(f"note: {printable(sentence)}")

    yield note
    for kind, times in said.items():
        if times > 1:
            progress.line(f"note: the same of {times - 1} more files: {printable(first[kind])}")
