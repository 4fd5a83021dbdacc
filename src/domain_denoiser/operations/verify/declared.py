"""What dvc.yaml declares, as DVC itself resolves it, and where DVC keeps things."""

from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from domain_denoiser.base.errors import BadInput
from domain_denoiser.base.secrets import masked
from domain_denoiser.runs import dvc_lock

if TYPE_CHECKING:
    from dvc.stage import PipelineStage


class Declared(NamedTuple):
    """One stage of dvc.yaml."""

    cmd: str
    deps: frozenset[str]  # paths
    params: frozenset[str]  # keys in params.yaml
    outs: Mapping[str, bool]  # path -> whether DVC keeps it in its cache; git keeps the others


class Project(NamedTuple):
    """dvc.yaml and DVC's configuration."""

    stages: Mapping[str, Declared]  # those of the root's dvc.yaml, each after those whose outputs it reads
    cache: Path  # the folder of objects by their MD5
    remote: str | None  # the name of the default remote
    ignores: Callable[[str], bool]  # whether .dvcignore leaves a file out


def read() -> Project:
    """Read them in the working directory. Raises BadInput if DVC cannot."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import SCMError

    try:
        with Repo(".") as repo:
            stages = {
                stage.name: Declared(
                    stage.cmd,
                    frozenset(dep.def_path for dep in stage.deps if not hasattr(dep, "params")),
                    frozenset(_params(stage)),
                    {out.def_path: out.use_cache for out in stage.outs},
                )
                for stage in repo.stage.load_all("dvc.yaml")
            }
            cache, remote = Path(repo.cache.local.path), repo.config["core"].get("remote")
            cache = cache.relative_to(Path.cwd()) if cache.is_relative_to(Path.cwd()) else cache
            return Project(_sorted(stages), cache, remote, repo.dvcignore.is_ignored_file)
    except (DvcException, SCMError, CycleError, OSError) as error:
        raise BadInput(f"DVC cannot read the project: {masked(' '.join(str(error).split()))[:300]}") from error


def _params(stage: "PipelineStage") -> dict[str, object]:
    """The keys that a stage reads of its params files, as dvc.lock's are named by `lineage`."""
    files = {dep.def_path: dep.params for dep in stage.deps if hasattr(dep, "params")}
    return dvc_lock.merged_params({file: dict.fromkeys(names) for file, names in files.items()})


def within(path: str, folder: str) -> bool:
    """Whether a path is the folder itself or lies in it."""
    return path == folder or path.startswith(f"{folder}/")


def _sorted(stages: Mapping[str, Declared]) -> dict[str, Declared]:
    """Upstream first: what is repaired from top to bottom is repaired from good inputs."""
    before = {
        name: [
            other
            for other, made in stages.items()
            if any(within(dep, out) or within(out, dep) for dep in stage.deps for out in made.outs)
        ]
        for name, stage in stages.items()
    }
    return {name: stages[name] for name in TopologicalSorter(before).static_order()}
