"""The MD5 that DVC gives a file or a folder of a commit."""

from functools import lru_cache

from domain_denoiser.base import checksum
from domain_denoiser.runs import listings, revisions


@lru_cache(maxsize=4_096)  # the trainings of a commit read much the same code
def of_commit(commit: str, path: str, as_folder: bool) -> str | None:
    """None if the commit has none there. commit: its whole hash."""
    found = revisions.entry(commit, path)
    if found is None or found.kind != ("tree" if as_folder else "blob"):
        return None
    return _of(found)


@lru_cache(maxsize=4_096)  # and so do commits
def _of(entry: revisions.Entry) -> str | None:
    if entry.kind == "tree":
        return listings.of_contents(revisions.inside(entry))
    content = revisions.content(entry)
    return None if content is None else checksum.md5(content)
