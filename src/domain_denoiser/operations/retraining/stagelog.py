"""What a retraining saw of each stage: that it ran, or that DVC restored it from its cache."""

import re
from collections.abc import Mapping
from pathlib import Path

from domain_denoiser.base import atomic, reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.runs.dvc_lock import Stage

PATH = Path(".dvc/tmp/retraining.json")  # of this machine alone: git and DVC ignore it
RAN, RESTORED = "ran", "restored"
_SAID = re.compile(r"^Running stage '(?P<ran>[^']+)'|^Stage '(?P<restored>[^']+)' is cached")


def seen(line: str) -> dict[str, str]:
    """Stage -> what a line of `dvc repro` says of it; nothing if it says nothing."""
    found = _SAID.match(line)
    return {} if found is None else {name: how for how, name in found.groupdict().items() if name is not None}


def write(seen: Mapping[str, str], stages: Mapping[str, Stage]) -> None:
    """Keep what was seen, by the key of the work, beside what earlier attempts saw."""
    atomic.write_json(PATH, _read() | {stages[name].key: how for name, how in seen.items() if name in stages})


def how(stage: Stage) -> str | None:
    """What the last retraining here saw of a stage's present work; None if nothing."""
    return _read().get(stage.key)


def _read() -> dict[str, str]:
    try:
        found = reading.from_json(reading.content(PATH, reading.LARGEST_TEXT), str(PATH))
    except BadInput:
        return {}
    return found if isinstance(found, dict) else {}
