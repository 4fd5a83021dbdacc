"""Which folder is the project."""

from pathlib import Path

from domain_denoiser.base.errors import BadInput


def around(start: Path) -> Path | None:
    """The folder at or above `start` that holds dvc.yaml and .dvc; None if there is none."""
    found = (folder for folder in (start, *start.parents) if is_one(folder))
    return next(found, None)


def is_one(folder: Path) -> bool:
    """Whether the folder is a project's root."""
    return (folder / "dvc.yaml").is_file() and (folder / ".dvc").is_dir()


def root() -> Path:
    """The project around the working directory. Raises BadInput if there is none."""
    found = around(Path.cwd())
    if found is None:
        raise BadInput(f"{Path.cwd()} lies in no project: no dvc.yaml here or above")
    return found
