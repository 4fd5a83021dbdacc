"""Whether a project can be made over: it is a clone, everything in it is committed, and the folder lies beside it."""

from pathlib import Path

from domain_denoiser import layout
from domain_denoiser.base import project
from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations import place
from domain_denoiser.runs import revisions

NAMED = 3  # files, at most, that a sentence names


def check(folder: Path) -> None:
    """Raises BadInput unless the working directory is the root of a clean clone, and `folder` can be copied into it."""
    root = project.root()
    if root != Path.cwd():
        raise BadInput(f"{Path.cwd()} lies in the project {root}, but init works from its root: go there first")
    place.check(root)
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder, but one with images is wanted")
    here, given = root.resolve(), folder.resolve()
    if given.is_relative_to(here / layout.IMAGES):
        raise BadInput(f"{folder} is the project's own copy of its images: name the folder that they come from")
    if here.is_relative_to(given):
        raise BadInput(f"{folder} holds the project itself: name a folder with nothing but the images")
    if given.is_relative_to(here):
        raise BadInput(f"{folder} lies in the project, which keeps a copy of its own: move the folder beside it")
    if revisions.head() is None:
        revisions.require()
        raise BadInput("this repository has no commit to come back to: `git add -A && git commit -m Start` first")
    if changed := revisions.changed():
        raise BadInput(
            f"the clone is not as its commit says ({named(changed)}), and init replaces files: commit or stash them "
            "first"
        )
    if layout.IMAGES.exists() or layout.IMAGES.is_symlink():
        raise BadInput(f"{layout.IMAGES} is there already: make a new clone, or move that folder away")


def named(items: list[str]) -> str:
    """The first few, and how many more there are."""
    more = len(items) - NAMED
    return ", ".join(items[:NAMED]) + (f" and {more} more" if more > 0 else "")
