"""Which denoiser restores: the champion, a model of a project by its name, or one in any folder or file."""

from pathlib import Path
from typing import NamedTuple

from domain_denoiser import layout
from domain_denoiser.base import project, reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.domain import profile
from domain_denoiser.domain.profile import Profile
from domain_denoiser.runtime import denoiser


class Chosen(NamedTuple):
    """The ONNX graph of a denoiser."""

    content: bytes
    where: str  # of the file, for sentences
    name: str  # what to call it


def choose(model: str | None, given: Path | None) -> Chosen:
    """The denoiser to restore with.

    model: a model's name in the project, a folder, or a .onnx file; None for the champion: that of the project, or
    outside of projects that of the package. given: the project's folder, None for the one around the working directory.
    Raises BadInput if there is no such model, and says which there are.
    """
    root = _project(given)
    if model is None:
        try:
            return champion(given)
        except BadInput as error:
            raise BadInput(f"{error}{_or_a_model(root)}") from error
    if _is_path(model):
        return _stored(Path(model), model)
    names = [] if root is None else trained(root)
    if model in names:
        return _stored(root / layout.MODELS / model, model)
    if _is_model(Path(model)):
        return _stored(Path(model), model)
    if root is None:
        raise BadInput(
            f"{Path.cwd()} lies in no project, so there is no model {model!r}: go to one, name one with --project or "
            "DENOISE_PROJECT, or a model's folder with --model"
        )
    there = f"the trained ones are {', '.join(names)}" if names else "none is trained yet: run `make repro`"
    raise BadInput(f"there is no model {model!r} in {root}; {there}")


def champion(given: Path | None) -> Chosen:
    """The champion, for what takes no other model. given: as of `choose`.

    Raises BadInput if there is none, and says how one is made.
    """
    root = _project(given)
    try:
        return Chosen(*denoiser.champion(root), "the champion")
    except BadInput as error:
        if root is None:
            raise
        first = "" if trained(root) else "`make repro`, "
        raise BadInput(f"{error}: {first}`denoise gate` and `denoise promote` make one") from error


def trained(root: Path) -> list[str]:
    """The names of the models that lie in a project."""
    return sorted(path.parent.name for path in (root / layout.MODELS).glob(f"*/{layout.SETTINGS}"))


def names_here() -> list[str]:
    """The names for `--model` that the shell completes."""
    root = project.around(Path.cwd())
    return [] if root is None else trained(root)


def _project(given: Path | None) -> Path | None:
    if given is None:
        return project.around(Path.cwd())
    if not project.is_one(given):
        raise BadInput(f"{given} is no project: it has no dvc.yaml, or no .dvc")
    return given


def _or_a_model(root: Path | None) -> str:
    """How a sentence about a missing champion goes on, where a model can be named instead."""
    if root is None:
        return ", or a model by --model"
    names = trained(root)
    return f"; or name a trained model: --model {' or '.join(names)}" if names else ""


def _stored(path: Path, name: str) -> Chosen:
    """A .onnx file, a folder with one, or a folder that a training wrote, whose graph is made now, by torch."""
    if path.is_file():
        return Chosen(reading.content(path, denoiser.LARGEST_GRAPH), str(path), name)
    if (path / layout.GRAPH).is_file():
        return _stored(path / layout.GRAPH, name)
    if not (path / layout.SETTINGS).is_file():
        raise BadInput(f"{path} holds no model: {layout.SETTINGS} or {layout.GRAPH} is wanted there, or a .onnx file")
    from domain_denoiser.networks import stored
    from domain_denoiser.operations import export

    network = stored.load(path, "cpu")
    return Chosen(export.graph(network, stored.load_settings(path), _profile(path)), str(path), name)


def _profile(folder: Path) -> Profile | None:
    path = folder / layout.PROFILE
    if not path.is_file():
        return None
    return profile.parse(reading.content(path, profile.LARGEST), str(path))


def _is_path(model: str) -> bool:
    """A model's name has no slash in it, nor is it a dot."""
    return "/" in model or model in (".", "..")


def _is_model(path: Path) -> bool:
    try:
        return path.suffix == ".onnx" or any((path / name).is_file() for name in (layout.SETTINGS, layout.GRAPH))
    except (OSError, ValueError) as error:  # a name that is too long, a folder that may not be looked into
        raise BadInput(f"{path} cannot be reached: {error}") from error
