"""What made what: the entries of dvc.lock, and the key that follows from what a stage read."""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from domain_denoiser import reading
from domain_denoiser.params import check, parse


class Stage(NamedTuple):
    """One run of a stage: its command, what it read, what it wrote."""

    name: str  # as DVC calls it: train@fixed
    cmd: str
    deps: Mapping[str, str]  # path -> MD5 of the content, as DVC computes it
    params: Mapping[str, object]  # key in params.yaml -> value
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
    loaded = parse(content, where)
    entries = check(_Lock, {} if loaded is None else loaded, where).stages
    return {name: _stage(name, entry) for name, entry in entries.items()}


def pending(name: str) -> Stage:
    """The stage that is running now in the working directory, whose entry dvc.lock does not have yet.

    Hashes what it reads just as DVC will when it ends.
    """
    from dvc.repo import Repo

    with Repo(".") as repo:
        stage = repo.stage.load_one(name=name)
        stage.save_deps()
        params, deps, outs = {}, {}, {out.def_path: "" for out in stage.outs}
        for dep in stage.deps:
            if hasattr(dep, "params"):
                params |= dep.hash_info.value
            else:
                deps[dep.def_path] = dep.hash_info.value
        return Stage(name, stage.cmd, deps, params, outs)


def changed_outs(name: str) -> list[str]:
    """Outputs of a stage that lie in the working directory otherwise than dvc.lock says, or not at all."""
    from dvc.repo import Repo

    with Repo(".") as repo:
        return [out.def_path for out in repo.stage.load_one(name=name).outs if out.workspace_status()]


def changed_code(name: str) -> list[str]:
    """Code that a stage read and that lies in the working directory otherwise than dvc.lock says."""
    from dvc.repo import Repo

    with Repo(".") as repo:
        deps = [dep for dep in repo.stage.load_one(name=name).deps if not hasattr(dep, "params")]
        return [dep.def_path for dep in deps if not dep.def_path.startswith("data/") and dep.workspace_status()]


def of_models(stages: Mapping[str, Stage], models: Collection[str]) -> dict[str, Stage]:
    """Without the trainings and evaluations of models other than these.

    DVC keeps the entry of a model that was renamed or taken out of params.yaml in dvc.lock for good (dvc#5293).
    """
    return {
        name: stage
        for name, stage in stages.items()
        if name.partition("@")[0] not in ("train", "evaluate") or name.partition("@")[2] in ("", *models)
    }


def ended(stage: Stage) -> Stage:
    """A pending stage whose files lie in the working directory now, with their hashes."""
    outs = {path: hashlib.md5(Path(path).read_bytes(), usedforsecurity=False).hexdigest() for path in stage.outs}
    return stage._replace(outs=outs)


def written(stages: Mapping[str, Stage]) -> list[str]:
    """Every path that a stage writes."""
    return [path for stage in stages.values() for path in stage.outs]


def param(values: object, key: str) -> object:
    """The value of a key like models.fixed.epochs in what params.yaml holds; None if it has none."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def workspace() -> dict[str, Stage]:
    """The stages of the dvc.lock in the working directory; none before the first reproduction."""
    lock = Path("dvc.lock")
    return locked(reading.content(lock, reading.LARGEST_TEXT), "dvc.lock") if lock.exists() else {}


def _stage(name: str, entry: _Entry) -> Stage:
    return Stage(
        name,
        entry.cmd,
        {dep.path: dep.md5 for dep in entry.deps},
        {key: value for values in entry.params.values() for key, value in values.items()},
        {out.path: out.md5 for out in entry.outs},
    )
