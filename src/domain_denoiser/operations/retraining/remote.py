"""The team's DVC remote: a folder, S3, SSH or HTTP, whatever the configuration says."""

from collections.abc import Mapping

from domain_denoiser import layout
from domain_denoiser.base import processes
from domain_denoiser.runs import dvc_project
from domain_denoiser.runs.cache import Contents

NO_REMOTE = "no DVC remote is configured"
PIPELINE = "dvc.yaml"  # not the study beside it, whose results may never have been made or shared


def remote() -> str | None:
    """The name of the default remote, or None if there is none."""
    with dvc_project.opened() as repo:
        return repo.config["core"].get("remote")


def pull() -> None:
    """Bring here what the remote has of dvc.lock; what it does not have is no error.

    Raises commands.Failed, also if a folder of one's own images has files that DVC does not know.
    """
    if remote() is None:
        print(f"{NO_REMOTE}: nothing is pulled")
    else:
        # --force: an interrupted stage may have left files that no cache knows. Not for a person's own images.
        processes.must("dvc", "pull", "--allow-missing", "--force", PIPELINE)
        for path in images():
            processes.must("dvc", "pull", "--allow-missing", path)


def images() -> list[str]:
    """The .dvc file of a folder of one's own images, which is no output of dvc.yaml; none of MNIST."""
    tracked, _ = layout.IMAGES_TRACKED
    return [str(tracked)] if tracked.exists() else []


def push() -> None:
    """Take to the remote what it lacks of dvc.lock. Raises commands.Failed."""
    if remote() is None:
        print(f"{NO_REMOTE}: nothing is pushed")
    else:
        processes.must("dvc", "push", PIPELINE, *images())


def fetch(commit: str, files: Mapping[str, str]) -> None:
    """Bring files of a commit (path -> MD5) into the cache, as far as the remote has them and nothing here does."""
    contents = Contents(commit)
    missing = [path for path, md5 in files.items() if contents.find(path, md5) is None]
    if not missing or remote() is None:
        return
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    with Repo(".") as repo:
        try:
            repo.fetch(targets=missing, revs=[commit], workspace=False)
        except DvcException as error:
            raise processes.Failed(f"fetching {', '.join(missing)} of {commit[:12]}: {error}") from error
