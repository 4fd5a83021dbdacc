"""`denoise show`: from a run to the commit, command, params and hashes that give it."""

from pathlib import Path
from typing import NamedTuple

from domain_denoiser.base.errors import BadInput
from domain_denoiser.runs import dvc_lock, mlflow_store, sync
from domain_denoiser.runs.dvc_lock import Stage


class Provenance(NamedTuple):
    """What gives a run."""

    stage: Stage
    commit: str | None  # the first that has its code and params; None if only the working directory has
    experiments: tuple[str, ...]
    gap: str | None  # why an earlier commit may give it too

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        own = {name: value for name, value in self._asdict().items() if name != "stage"}
        return {"key": self.stage.key, **own, **self.stage._asdict()}

    def as_text(self) -> str:
        """Lines for a person, the commands that give the run again among them."""
        stage = self.stage
        lines = [f"run      {stage.name}", f"key      {stage.key}", f"command  {stage.cmd}"]
        if self.commit is None:
            lines.append("commit   none yet: only this working directory has it")
        else:
            lines += [f"commit   {self.commit}", f"again    git checkout {self.commit[:12]} && dvc repro {stage.name}"]
        if self.gap is not None:
            lines.append(f"note     {self.gap}")
        if self.experiments:
            lines.append(f"in       {', '.join(self.experiments)}")
        lines += ["params", *(f"  {name}: {value}" for name, value in stage.params.items())]
        for title, files in (("read", stage.deps), ("wrote", stage.outs)):
            lines += [title, *(f"  {md5:<36}  {path}" for path, md5 in files.items())]
        return "\n".join(lines)


def find(wanted: str, root: Path) -> Provenance:
    """The model of that name in the working directory, the run whose key begins so, or MLflow's run of that id.

    root: the project's, beside which the default tracking store lies; it is opened only for a run id.
    Raises BadInput if there is none, or more than one.
    """
    workspace = {stage.name: stage for stage in sync.trainings(dvc_lock.current())}
    history = sync.read_history()
    known = history.stages | {stage.key: stage for stage in workspace.values()}
    if f"train@{wanted}" in workspace:
        matching = [workspace[f"train@{wanted}"].key]
    else:
        matching = [key for key in known if key.startswith(wanted)]
    if not matching and len(wanted) == 32:
        matching = [
            key
            for key in mlflow_store.keys_of_run(mlflow_store.connect(root, retries=1, timeout_s=10), wanted)
            if key in known
        ]
    if not matching:
        raise BadInput(f"neither dvc.lock nor any commit or experiment has a run {wanted!r}")
    if len(matching) > 1:
        raise BadInput(f"{wanted!r} begins {len(matching)} keys: {', '.join(matching[:5])}")
    [key] = matching
    experiments = tuple(history.experiments.get(key, ()))
    return Provenance(known[key], sync.giving(history, known[key]), experiments, history.gap)
