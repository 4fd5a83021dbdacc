"""Which stored model restores: the champion, one of a project by its name, or one in any folder."""

from pathlib import Path

from domain_denoiser import layout
from domain_denoiser.base.errors import BadInput
from domain_denoiser.runs import revisions


def choose(model: str | None, given: Path | None) -> tuple[Path, str]:
    """The folder of the model to restore with, and what to call it.

    model: a model's name in the project, or a folder; None for the champion. given: the project's folder, None for the
    one around the working directory. Raises BadInput if there is no such model, and says which there are.
    """
    if model is None:
        root = project(given)
        if _is_model(root / layout.CHAMPION):
            return root / layout.CHAMPION, "the champion"
        names = trained(root)
        there = (
            f"name a trained model: --model {' or '.join(names)}" if names else "nothing is trained: run `make repro`"
        )
        raise BadInput(f"{root} has no champion yet ({layout.CHAMPION}/{layout.SETTINGS} is missing); {there}")
    if _is_path(model):
        return _folder(Path(model)), model
    try:
        root = project(given)
    except BadInput:
        if given is None and _is_model(Path(model)):
            return Path(model), model
        raise
    names = trained(root)
    if model in names:
        return root / layout.MODELS / model, model
    if _is_model(Path(model)):
        return Path(model), model
    there = f"the trained ones are {', '.join(names)}" if names else "none is trained yet: run `make repro`"
    raise BadInput(f"there is no model {model!r} in {root}; {there}")


def project(given: Path | None) -> Path:
    """The project's folder: `given`, or the one at or above the working directory. Raises BadInput if it is none."""
    if given is not None:
        if not ((given / "dvc.yaml").is_file() and (given / ".dvc").is_dir()):
            raise BadInput(f"{given} is no project: it has no dvc.yaml, or no .dvc")
        return given
    try:
        return revisions.project_root(Path.cwd())
    except BadInput as error:
        raise BadInput(
            f"{error}; go to one, name one with --project or DENOISE_PROJECT, or a model's folder with --model"
        ) from error


def trained(root: Path) -> list[str]:
    """The names of the models that lie in a project."""
    return sorted(path.parent.name for path in (root / layout.MODELS).glob(f"*/{layout.SETTINGS}"))


def _is_path(model: str) -> bool:
    """A model's name has no slash in it, nor is it a dot."""
    return "/" in model or model in (".", "..")


def _folder(folder: Path) -> Path:
    if not _is_model(folder):
        raise BadInput(f"{folder} holds no model: {layout.SETTINGS} is wanted there")
    return folder


def _is_model(folder: Path) -> bool:
    try:
        return (folder / layout.SETTINGS).is_file()
    except (OSError, ValueError) as error:  # a name that is too long, a folder that may not be looked into
        raise BadInput(f"{folder} cannot be reached: {error}") from error
