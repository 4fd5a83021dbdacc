"""Every file that dvc.lock names, as it lies in the workspace and in DVC's cache."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from domain_denoiser.operations.verify.declared import Project
from domain_denoiser.operations.verify.hashing import Found, Hashes
from domain_denoiser.runs import listings
from domain_denoiser.runs.dvc_lock import Stage


class Object(NamedTuple):
    """Content in DVC's cache, which keeps it by its MD5."""

    path: Path
    md5: str
    found: Found

    @property
    def right(self) -> bool:
        return self.found.md5 == self.md5


class Item(NamedTuple):
    """A file: an output of a stage, or inside one."""

    path: Path
    md5: str  # as dvc.lock says it, or the listing that dvc.lock names
    found: Found  # in the workspace
    object: Object | None  # None if git keeps the file, not DVC

    @property
    def right(self) -> bool:
        """Whether the workspace has it; the cache has nothing to say here."""
        return self.found.md5 == self.md5

    @property
    def place(self) -> Path | None:
        """Where the right bytes are, if anywhere."""
        if self.right:
            return self.path
        return self.object.path if self.object is not None and self.object.right else None


class Output(NamedTuple):
    """What a stage wrote at one path: a file, or a folder of files."""

    stage: str
    path: str
    md5: str  # that of a folder ends in .dir
    listing: Object | None  # of a folder that DVC keeps
    items: tuple[Item, ...]  # empty for a folder whose listing is not to be had
    unexpected: tuple[Path, ...]  # files in a folder that its listing does not name

    @property
    def objects(self) -> list[Object]:
        """All that the cache should have of it; nothing if git keeps it."""
        listing = [] if self.listing is None else [self.listing]
        return listing + [item.object for item in self.items if item.object is not None]

    @property
    def known(self) -> bool:
        """Whether it is known which files it has."""
        return bool(self.items) or self.md5 == listings.hash_of({})

    @property
    def right(self) -> bool:
        """Whether the workspace has exactly this."""
        return self.known and not self.unexpected and all(item.right for item in self.items)


def take(stages: Mapping[str, Stage], project: Project) -> list[Output]:
    """Look at every output of the stages that dvc.yaml has, upstream first. Reads every byte of them."""
    hashes = Hashes()
    outs = [
        (name, path, md5, declared.outs.get(path, True))
        for name, declared in project.stages.items()
        if name in stages
        for path, md5 in stages[name].outs.items()
    ]
    lying = {path: list(_files(Path(path), project)) for _, path, md5, _ in outs if listings.is_folder(md5)}
    hashes.read(path for paths in lying.values() for path in paths)
    hashes.read(place for _, path, md5, _ in outs for place in (Path(path), _object_path(project.cache, md5)))
    members = {
        path: _members(path, md5, lying[path], project.cache, hashes) for _, path, md5, _ in outs if path in lying
    }
    hashes.read(Path(path, name) for path, named in members.items() for name in named)
    hashes.read(_object_path(project.cache, md5) for named in members.values() for md5 in named.values())

    def object_of(md5: str, kept: bool) -> Object | None:
        path = _object_path(project.cache, md5)
        return Object(path, md5.removesuffix(listings.SUFFIX), hashes[path]) if kept else None

    taken = []
    for stage, out, md5, kept in outs:
        named = {Path(out, name): of for name, of in members[out].items()} if out in members else {Path(out): md5}
        items = tuple(Item(path, of, hashes[path], object_of(of, kept)) for path, of in named.items())
        unexpected = tuple(path for path in lying.get(out, ()) if named and path not in named)
        taken.append(Output(stage, out, md5, object_of(md5, kept and out in members), items, unexpected))
    return taken


def _object_path(cache: Path, md5: str) -> Path:
    return cache / md5[:2] / md5[2:]


def _files(folder: Path, project: Project) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()  # in place: file systems list them in any order
        yield from (path for name in sorted(names) if not project.ignores(str(path := Path(parent, name))))


def _members(out: str, md5: str, lying: list[Path], cache: Path, hashes: Hashes) -> dict[str, str]:
    """Path inside the folder -> MD5, by the listing in the cache; if that is lost, the folder itself may still say.

    Nothing if neither does.
    """
    listing = _object_path(cache, md5)
    if hashes[listing].md5 == md5.removesuffix(listings.SUFFIX):
        return listings.parse(listing.read_bytes()) or {}
    here = {str(path.relative_to(out)): found for path in lying if (found := hashes[path].md5) is not None}
    return here if listings.hash_of(here) == md5 else {}
