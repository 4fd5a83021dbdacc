"""What differs between two pipeline states, as their dvc.lock record it."""

from collections.abc import Mapping
from typing import NamedTuple

from domain_denoiser.runs.dvc_lock import Stage
from domain_denoiser.runs.records import flattened


class Changes(NamedTuple):
    """Changed params, data and code, and the stages to rerun."""

    params: Mapping[str, tuple[object, object]]  # key -> value before and after; None: not there
    data: tuple[str, ...]  # datasets
    code: tuple[str, ...]  # source files, and stages with another command
    again: tuple[str, ...]  # the stages to rerun


def between(before: Mapping[str, Stage], after: Mapping[str, Stage]) -> Changes:
    """From one dvc.lock to another."""
    values = [
        {key: value for stage in side.values() for key, value in flattened("", stage.params).items()}
        for side in (before, after)
    ]
    datasets = [_files(side, "outs", ("data/",)) for side in (before, after)]
    sources = [_files(side, "deps", ("src/", "stages/")) for side in (before, after)]
    commands = [f"the command of {name}" for name in after if name in before and before[name].cmd != after[name].cmd]
    return Changes(
        {key: (values[0].get(key), values[1].get(key)) for key in _differing(*values)},
        tuple(_differing(*datasets)),
        (*_differing(*sources), *commands),
        tuple(name for name, stage in after.items() if name not in before or before[name].key != stage.key),
    )


def _files(stages: Mapping[str, Stage], kind: str, folders: tuple[str, ...]) -> dict[str, str]:
    """Path -> MD5."""
    return {
        path: md5 for stage in stages.values() for path, md5 in getattr(stage, kind).items() if path.startswith(folders)
    }


def _differing(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
