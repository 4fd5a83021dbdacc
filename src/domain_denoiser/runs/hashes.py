"""The MD5 that DVC gives a file or a folder of a commit."""

from collections.abc import Mapping
from functools import lru_cache

from domain_denoiser.base import checksum
from domain_denoiser.runs import listings, revisions


def of_commit(commit: str, path: str, as_folder: bool) -> str | None:
    """None if the commit has none there. commit: its whole hash."""
    entry = _tree(commit).get(path)
    if entry is None or entry.is_folder != as_folder:
        return None
    return _of_folder(entry.name) if as_folder else _of_file(entry)


@lru_cache(maxsize=8)  # what one commit has is asked at one time
def _tree(commit: str) -> Mapping[str, revisions.Entry]:
    return revisions.tree(commit)


@lru_cache(maxsize=4_096)  # most commits have most of another's code
def _of_folder(name: str) -> str:
    return listings.of_contents(revisions.inside(name))


@lru_cache(maxsize=4_096)
def _of_file(entry: revisions.Entry) -> str | None:
    content = revisions.content(entry)
    return None if content is None else checksum.md5(content)
