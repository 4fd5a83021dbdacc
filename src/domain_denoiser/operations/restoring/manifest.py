"""What became of each input, in a line of JSON: beside the output, so that a run that was killed goes on.

Of several lines on one output the last one counts.
"""

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from domain_denoiser.base import reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations.restoring import s3

OURS = b'{"input"'  # how a line begins
Write = Callable[[Mapping[str, object]], None]


def place(target: s3.Place) -> Path:
    """Beside a file or folder `target`; for one on S3, which appends to nothing, in the working directory."""
    if isinstance(target, s3.Address):
        return Path(f"{quote(target.key, safe='')}.manifest.jsonl")
    resolved = target.resolve()
    return target.parent / f"{resolved.name}.manifest.jsonl" if target.name else Path(f"{resolved}.manifest.jsonl")


@contextmanager
def opened(path: Path) -> Iterator[tuple[set[str], set[str], Write]]:
    """Yield the outputs that its lines say were written, what they say of inputs without one, and what appends a line.

    Raises BadInput if it is no manifest, cannot be written, or is written by another process.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("a+b")
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}") from error
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInput(f"another process restores into the same output: it writes {path}") from error
        file.seek(0)
        done, said, whole = set(), set(), 0
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n") and OURS.startswith(line[: len(OURS)]):  # it was killed in the middle of it
                break
            whole += len(line)
            written = reading.from_json(line, f"line {number} of {path}")
            if not isinstance(written, dict) or not {"output", "error"} <= written.keys():
                raise BadInput(f"line {number} of {path} is not about an output: is it the manifest of a restoring?")
            if written["output"] is None:
                said.add(str(written["error"]))
            else:
                (done.discard if written["error"] is not None else done.add)(str(written["output"]))
        file.truncate(whole)

        def write(line: Mapping[str, object]) -> None:
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()

        yield done, said, write
