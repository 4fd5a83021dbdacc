"""What made what: the entries of dvc.lock, and the key that follows from what a stage read."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from domain_denoiser import layout
from domain_denoiser.base import checksum, plain_yaml, reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.base.parsing import parse, parse_recorded
from domain_denoiser.params import check
from domain_denoiser.runs import dvc_project

LOCK, PARAMS = "dvc.lock", "params.yaml"
_HEAD = b"schema: '2.0'\nstages:\n"
_ENTRY = re.compile(rb"^(?=  \S)", re.MULTILINE)


class Stage(NamedTuple):
    """One run of a stage: its command, what it read, what it wrote."""

    name: str  # as DVC calls it: train@fixed
    cmd: str
    deps: Mapping[str, str]  # path -> MD5 of the content, as DVC computes it
    params: Mapping[str, object]  # key in params.yaml -> value; of several files, see `merged_params`
    outs: Mapping[str, str]  # path -> MD5; the MD5 is empty before the stage has ended

    @property
    def key(self) -> str:
        """The identity of the work: 32 hexadecimal digits that follow from command, deps and params alone.

        The same work has the same key on any machine and in any branch, before it is done and afterwards.
        """
        read = {"cmd": self.cmd, "deps": dict(self.deps), "params": dict(self.params)}
        return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()[:32]


def _inside(path: str) -> str:
    """dvc.lock may be anybody's: it names nothing outside the project."""
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or not (path and path.isprintable()):
        raise ValueError(f"must be a path within the project, not {path!r}")
    return path


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)
    path: Annotated[str, AfterValidator(_inside)]
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}(\.dir)?$")]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)
    cmd: str
    deps: list[_File] = []
    params: dict[str, dict[str, JsonValue]] = {}
    outs: list[_File] = []


class _Lock(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)
    stages: dict[str, _Entry] = {}


def locked(content: bytes, where: str) -> dict[str, Stage]:
    """The stages of a dvc.lock; `where` says whose it is. Raises BadInput if it is none."""
    try:
        return dict(_known(content))
    except BadInput as error:
        raise _of(where, LOCK, error) from error


@lru_cache(maxsize=2_048)  # a process looks at the dvc.lock of each commit more than once; 80 kB each
def _known(content: bytes) -> Mapping[str, Stage]:
    if len(content) <= reading.LARGEST_TEXT and content.startswith(_HEAD):
        parts = _ENTRY.split(content.removeprefix(_HEAD))
        found = plain_yaml.together(map(_alone, filter(None, parts)))
        if found is not None:
            return found
    return _stages(parse(content, LOCK))


@lru_cache(maxsize=4_096)  # a commit changes few of its stages
def _alone(entry: bytes) -> Mapping[str, Stage]:
    """The stage of one entry; none, if it is not written as DVC does, or more than that."""
    loaded = plain_yaml.load(b"stages:\n" + entry)
    try:
        return _stages(loaded) if isinstance(loaded, dict) and loaded.keys() == {"stages"} else {}
    except BadInput:  # for the sentence on the whole of it
        return {}


def _stages(loaded: object) -> dict[str, Stage]:
    entries = check(_Lock, {} if loaded is None else loaded, LOCK).stages
    return {name: _stage(name, entry) for name, entry in entries.items()}


def _of(where: str, file: str, error: BadInput) -> BadInput:
    """The same sentence, which opens with the file's name, on the file that is meant."""
    return BadInput(f"{where}{str(error).removeprefix(file)}")


def of_models(stages: Mapping[str, Stage], names: Iterable[str]) -> dict[str, Stage]:
    """Without what was made of models that are none of `names`: DVC keeps a stage that dvc.yaml no longer has in
    dvc.lock (dvc#5293).
    """
    kept = set(names)
    return {
        name: stage
        for name, stage in stages.items()
        if not name.startswith(("train@", "recognise@", "evaluate@", "figures@")) or name.partition("@")[2] in kept
    }


def models(content: bytes, where: str) -> list[str]:
    """The names of the models in a params.yaml, of this version or an older one.

    Raises BadInput if it has none; `where` opens the sentence.
    """
    values = params_values(content, where)
    found = values.get("models") if isinstance(values, Mapping) else None
    if not isinstance(found, Mapping):
        raise BadInput(f"{where} has no models")
    return [str(name) for name in found]


def filters(content: bytes, where: str) -> list[str]:
    """The names of the filters in a params.yaml, of this version or an older one, which has none.

    Raises BadInput if it is not one; `where` opens the sentence.
    """
    found = param(params_values(content, where), "filters")
    return [str(name) for name in found] if isinstance(found, Mapping) else []


def params_values(content: bytes, where: str) -> object:
    """What a params file holds; not to be changed. Raises BadInput if it is none; `where` opens the sentence."""
    try:
        return _known_values(content)
    except BadInput as error:
        raise _of(where, PARAMS, error) from error


@lru_cache(maxsize=2_048)  # most commits leave it as it is
def _known_values(content: bytes) -> object:
    return parse_recorded(content, PARAMS)


def pending(name: str) -> Stage:
    """The stage that is running now in the working directory, whose entry dvc.lock does not have yet.

    Hashes what it reads just as DVC will when it ends.
    """
    with dvc_project.opened() as repo:
        stage = repo.stage.load_one(name=name)
        stage.save_deps()
        params, deps, outs = {}, {}, {out.def_path: "" for out in stage.outs}
        for dep in stage.deps:
            if hasattr(dep, "params"):
                params[dep.def_path] = dep.hash_info.value
            else:
                deps[dep.def_path] = dep.hash_info.value
        return Stage(name, stage.cmd, deps, merged_params(params), outs)


def changed_outs(name: str) -> list[str]:
    """Outputs of a stage whose files in the working directory are missing or differ from dvc.lock."""
    with dvc_project.opened() as repo:
        return [out.def_path for out in repo.stage.load_one(name=name).outs if out.workspace_status()]


def changed_code(name: str) -> list[str]:
    """Code that a stage read and that differs from dvc.lock in the working directory."""
    with dvc_project.opened() as repo:
        deps = [dep for dep in repo.stage.load_one(name=name).deps if not hasattr(dep, "params")]
        return [dep.def_path for dep in deps if not layout.is_dataset(dep.def_path) and dep.workspace_status()]


def ended(stage: Stage) -> Stage:
    """A pending stage whose files lie in the working directory now, with their hashes."""
    outs = {path: checksum.md5(Path(path).read_bytes()) for path in stage.outs}
    return stage._replace(outs=outs)


def written(stages: Mapping[str, Stage]) -> list[str]:
    """Every path that a stage writes."""
    return [path for stage in stages.values() for path in stage.outs]


def merged_params(files: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """What a stage read of its params files, by key.

    With several files, the keys of all but params.yaml begin with the file and a colon: `seed` of two files is two
    values. With one file they are as they stand in it.
    """
    several = len(files) > 1
    return {
        f"{file}:{key}" if several and file != PARAMS else key: value
        for file, values in files.items()
        for key, value in values.items()
    }


def param_place(key: str) -> tuple[str, str]:
    """The file and the key in it of a key as `merged_params` gives it."""
    file, _, inner = key.rpartition(":")
    return (file, inner) if file.endswith((".yaml", ".yml", ".json", ".toml", ".py")) else (PARAMS, key)


def param(values: object, key: str) -> object:
    """The value of a key like models.fixed.epochs in what params.yaml holds; None if it has none."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def workspace() -> dict[str, Stage]:
    """The stages of the dvc.lock in the working directory; none before the first reproduction."""
    lock = Path("dvc.lock")
    return locked(reading.content(lock, reading.LARGEST_TEXT), "dvc.lock") if lock.exists() else {}


def current() -> dict[str, Stage]:
    """The same, of the models that params.yaml has now."""
    stages = workspace()
    params = reading.content(Path(PARAMS), reading.LARGEST_TEXT) if stages else b""
    return of_models(stages, models(params, PARAMS)) if stages else {}


def _stage(name: str, entry: _Entry) -> Stage:
    return Stage(
        name,
        entry.cmd,
        {dep.path: dep.md5 for dep in entry.deps},
        merged_params(entry.params),
        {out.path: out.md5 for out in entry.outs},
    )
