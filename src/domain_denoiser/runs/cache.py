"""The bytes behind a path and an MD5 of dvc.lock, wherever they still lie."""

from pathlib import Path

from domain_denoiser import layout
from domain_denoiser.base import checksum
from domain_denoiser.runs import dvc_project, revisions


class Contents:
    """Looks in the working directory, then in the DVC cache, then at the champion's files, then in a commit; only bytes
    with the right MD5 count.

    The champion's weights are found in its folder, so that a clone in which nothing was trained has them.

    DVC trusts the read-only bit of its cache; this does not.
    """

    def __init__(self, commit: str | None, cache: Path | None = None) -> None:
        """commit: where files that git tracks are looked for, if anywhere; cache: of DVC, None to ask DVC for it."""
        self.commit = commit
        self.cache = cache_folder() if cache is None else cache

    def of(self, commit: str) -> "Contents":
        """The same, where files that git tracks are looked for in another commit."""
        return Contents(commit, self.cache)

    def find(self, path: str, md5: str) -> bytes | None:
        """The file's bytes, or None if no place has them any more."""
        promoted = layout.CHAMPION / Path(path).name
        for place in (Path(path), self.cache / md5[:2] / md5[2:], promoted):
            if place.is_file() and checksum.md5(content := place.read_bytes()) == md5:
                return content
        if self.commit is None:
            return None
        for name in dict.fromkeys((path, str(promoted))):
            if (content := revisions.show(self.commit, name)) is not None and checksum.md5(content) == md5:
                return content
        return None


def cache_folder() -> Path:
    """Where DVC keeps files by their MD5, as its configuration says."""
    with dvc_project.opened() as repo:
        return Path(repo.cache.local.path)
