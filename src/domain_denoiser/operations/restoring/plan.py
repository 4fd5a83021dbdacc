"""Which files are restored, and where each one goes."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from domain_denoiser.base.errors import BadInput
from domain_denoiser.formats import opening


class Job(NamedTuple):
    """A file, and the path of the restored one."""

    path: Path
    place: Path


class Plan(NamedTuple):
    """What there is to do."""

    jobs: list[Job]
    broken: list[str]  # a sentence on each file that cannot be restored
    skipped: int  # files that are no images
    there: int  # restored earlier, and left as they are


class Found(NamedTuple):
    """A file of an input, and its path within the output."""

    path: Path
    within: Path


def plan(sources: Sequence[Path], target: Path, skip_existing: bool) -> Plan:
    """One file into the file or folder `target`; a folder, or several inputs, into the folder `target`.

    A folder alone keeps its structure; of several inputs a folder keeps its name too. `target` must be new or empty,
    unless skip_existing. Raises BadInput if an input is missing or nothing is found, and if the output is in the way.
    """
    for source in sources:
        if not _exists(source):
            raise BadInput(f"{source} does not exist")
    [first, *others] = sources
    if not others and not first.is_dir() and not _is_folder(target):
        if _exists(target) and target.samefile(first):
            raise BadInput(f"{target} is the input itself: give the output another name")
        return Plan([Job(first, target)], [], 0, 0)
    _check_folder(sources, target, skip_existing or (not others and not first.is_dir()))
    found, broken, skipped = [], [], 0
    for source in sources:
        above = Path() if not others or not source.is_dir() else Path(source.resolve().name)  # of `.` and `..` too
        files = [Found(source, Path(source.name))] if not source.is_dir() else list(_walk(source, above))
        for file in files:
            if source.is_dir() and not _is_image(file.path):
                skipped += 1
            elif source.is_dir() and file.path.is_symlink() and not _leads_inside(file.path, source):
                broken.append(f"{file.path} is a link that leads out of {source}")
            else:
                found.append(file)
    if not found and not broken:
        raise BadInput(f"{', '.join(map(str, sources))} holds no images: {', '.join(opening.SUFFIXES)} are known")
    jobs = [Job(path, target / within) for path, within in _places(found)]
    left = [job for job in jobs if not (skip_existing and job.place.exists())]
    return Plan(left, broken, skipped, len(jobs) - len(left))


def _places(found: Sequence[Found]) -> Iterator[Found]:
    """Each file with its path in the output: its own, or with another suffix if it comes out in another format.

    Raises BadInput if two files would become one.
    """
    taken: dict[Path, Path] = {}
    # A JPEG becomes a PNG; where a PNG of that name is there, it keeps its own suffix before the new one.
    for path, within in sorted(found, key=lambda file: opening.kind_of(file.path) == "JPEG"):
        place = _named(within, opening.kind_of(path))
        if place in taken and place != within:
            place = within.with_name(within.name + place.suffix)
        if place in taken:
            raise BadInput(f"{taken[place]} and {path} would both become {place}")
        taken[place] = path
        yield Found(path, place)


def _named(within: Path, kind: str | None) -> Path:
    """The name of the output: the file's own, if its suffix fits what comes out."""
    comes_out = "PNG" if kind == "JPEG" else kind  # a JPEG written anew would be damaged a second time
    fitting = [suffix for suffix, named in opening.SUFFIXES.items() if named == comes_out]
    return within if kind is None or within.suffix.lower() in fitting else within.with_suffix(fitting[0])


def _walk(folder: Path, above: Path) -> Iterator[Found]:
    """All files in a folder and its subfolders, sorted; a linked folder counts as a file."""

    def refuse(error: OSError) -> None:
        raise BadInput(f"{error.filename} cannot be read: {error.strerror}") from error

    for at, folders, files in os.walk(folder, onerror=refuse):
        here = Path(at)
        links = [name for name in folders if (here / name).is_symlink()]
        folders[:] = sorted(name for name in folders if name not in links and not name.startswith("."))
        for name in sorted([*files, *links]):
            yield Found(here / name, above / here.relative_to(folder) / name)


def _is_image(path: Path) -> bool:
    """By its content, or by a name that says so: then what is wrong with it will be said. Hidden files never are."""
    if path.name.startswith(".") or path.is_dir():
        return False
    return path.suffix.lower() in opening.SUFFIXES or (path.is_file() and opening.kind_of(path) is not None)


def _check_folder(sources: Sequence[Path], target: Path, may_hold_files: bool) -> None:
    if _exists(target) and not (target.is_dir() and (may_hold_files or not any(target.iterdir()))):
        raise BadInput(
            f"{target} is there already: give the name of a new or empty folder, or --skip-existing to go on with it"
        )
    for source in sources:
        if source.is_dir() and target.resolve().is_relative_to(source.resolve()):
            raise BadInput(f"{target} lies in the input {source}: give the output a place outside")


def _leads_inside(link: Path, folder: Path) -> bool:
    try:
        return link.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a link that leads to itself is a RuntimeError
        return False


def _is_folder(path: Path) -> bool:
    return _exists(path) and path.is_dir()


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError) as error:  # a name that is too long, a folder that may not be looked into
        raise BadInput(f"{path} cannot be reached: {error}") from error
