"""DVC's own view of the project in the working directory."""

from typing import TYPE_CHECKING

from domain_denoiser.runs import revisions

if TYPE_CHECKING:
    from dvc.repo import Repo


def opened() -> "Repo":
    """The project, to be closed by `with`. Where there is no git repository, as in a ZIP file, DVC does without one."""
    from dvc.repo import Repo

    return Repo(".", config={"core": {"no_scm": True}} if revisions.repository() is None else None)
