"""Which files are restored, and where each one goes."""

import os
import unicodedata
from collections.abc import Container, Iterator, Sequence
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
    there: list[Job]  # restored earlier, and left as they are


class Found(NamedTuple):
    """A file of an input, its kind (None: not known), and its path within the output."""

    path: Path
    kind: str | None
    within: Path


class Inputs(NamedTuple):
    """What there is in files and folders."""

    files: list[Found]
    broken: list[str]  # a sentence on each that cannot be read
    skipped: int  # files that are no images


def plan(sources: Sequence[Path], target: Path, skip_existing: bool) -> Plan:
    """One file into the file or folder `target`; a folder, or several inputs, into the folder `target`.

    A folder alone keeps its structure; of several inputs a folder keeps its name too. A folder `target` must be new or
    empty unless skip_existing, but one file may go into any. Raises BadInput as `find`, and if the output is in the way
    or among the inputs, or if two inputs would become one file.
    """
    inputs = find(sources)
    first = sources[0]
    alone = is_one_file(sources)
    if alone and not _is_folder(target):
        return _left([Job(first, target)], sources, [], 0, skip_existing)
    check_folder(sources, target, skip_existing or alone)
    places, clashing = places_of(inputs.files)
    jobs = [Job(path, target / place) for path, place in places.items()]
    planned = _left(jobs, sources, [*inputs.broken, *clashing], inputs.skipped, skip_existing)
    if alone and not skip_existing and jobs[0].place.exists():
        raise BadInput(f"{jobs[0].place} is there already: give the output a name, or --skip-existing to leave it")
    return planned


def is_one_file(sources: Sequence[Path]) -> bool:
    """Whether there is nothing but one file: what is wrong with it is bad input, and costs no other file."""
    return len(sources) == 1 and not sources[0].is_dir()


def find(sources: Sequence[Path]) -> Inputs:
    """The images among files and in folders with their subfolders; files that are named need not be images.

    Of several inputs a folder keeps its name. Raises BadInput if an input is missing or nothing is found.
    """
    for source in sources:
        if not _exists(source):
            raise BadInput(f"{source} does not exist")
    found, broken, skipped = [], [], 0
    for source in sources:
        if not source.is_dir():
            found.append(Found(source, opening.kind_of(source), Path(source.name)))
            continue
        above = Path(source.resolve().name) if len(sources) > 1 else Path()  # of `.` and `..` too
        for path, within in _walk(source, above):
            try:
                kind = None if _is_left_out(path) else _kind(path, source)
            except BadInput as error:
                broken.append(str(error))
                continue
            # What is named like an image is one: if it holds none, that will be said.
            if _is_left_out(path) or (kind is None and path.suffix.lower() not in opening.SUFFIXES):
                skipped += 1
            else:
                found.append(Found(path, kind, within))
    if not found and not broken:
        raise BadInput(f"{', '.join(map(str, sources))} holds no images: {', '.join(opening.SUFFIXES)} are known")
    return Inputs(found, broken, skipped)


def _left(jobs: list[Job], sources: Sequence[Path], broken: list[str], skipped: int, skip_existing: bool) -> Plan:
    """The plan without what is there already. Raises BadInput if an output would lie among the inputs."""
    inputs = {job.path.resolve() for job in jobs}
    folders = [source.resolve() for source in sources if source.is_dir()]
    for job in jobs:
        place = job.place.resolve()
        if place in inputs:
            raise BadInput(f"{job.place} is the input itself: give the output another name")
        if any(place.is_relative_to(folder) for folder in folders):
            raise BadInput(f"{job.place} lies in an input: give the output a place outside")
    there = {job for job in jobs if skip_existing and job.place.exists()}
    return divided(jobs, there, broken, skipped)


def divided(jobs: list[Job], there: Container[Job], broken: list[str], skipped: int) -> Plan:
    """The plan of which `there` is done."""
    return Plan([job for job in jobs if job not in there], broken, skipped, [job for job in jobs if job in there])


def places_of(found: Sequence[Found]) -> tuple[dict[Path, Path], list[str]]:
    """Each file's path in the output, and a sentence on each that would take the place of another.

    The path does not depend on the other files, so that a run that goes on finds what an earlier one wrote.
    Raises BadInput if two inputs of one name would become one file.
    """
    sharing: dict[str, list[tuple[Found, Path]]] = {}
    for file in found:
        place = _named(file.within, file.kind)
        # Some file systems take names for one that differ in case or in how an accent is spelled.
        sharing.setdefault(unicodedata.normalize("NFC", str(place)).casefold(), []).append((file, place))
    places, clashing = {}, []
    for files in sharing.values():
        paths = [str(file.path) for file, _ in files]
        said = f"{' and '.join(paths[:2])} would both become {files[0][1]}"
        if len(files) == 1:
            places[files[0][0].path] = files[0][1]
        elif all(place == file.within for file, place in files):
            raise BadInput(said)
        else:
            clashing += [f"{path}: {said}; restore it alone, into a file of another name" for path in paths]
    return places, clashing


def _named(within: Path, kind: str | None) -> Path:
    """The name of the output: the file's own, if its suffix fits what comes out."""
    comes_out = "PNG" if kind == "JPEG" else kind  # a JPEG written anew would be damaged a second time
    fitting = [suffix for suffix, named in opening.SUFFIXES.items() if named == comes_out]
    if kind is None or within.suffix.lower() in fitting:
        return within
    # What follows a dot may be a part of the name: sigma0.5
    bare = within.with_suffix("") if within.suffix.lower() in opening.SUFFIXES else within
    return bare.with_name(bare.name + fitting[0])


def _walk(folder: Path, above: Path) -> Iterator[tuple[Path, Path]]:
    """All files in a folder and its subfolders, sorted, each with its path in the output.

    A hidden or linked folder counts as one file.
    """

    def refuse(error: OSError) -> None:
        raise BadInput(f"{error.filename} cannot be read: {error.strerror}") from error

    for at, folders, files in os.walk(folder, onerror=refuse):
        here = Path(at)
        closed = [name for name in folders if name.startswith(".") or (here / name).is_symlink()]
        folders[:] = sorted(set(folders) - set(closed))
        for name in sorted([*files, *closed]):
            yield here / name, above / here.relative_to(folder) / name


def _is_left_out(path: Path) -> bool:
    """Hidden, as what systems leave beside images, or a folder that is not entered."""
    return path.name.startswith(".") or path.is_dir()


def _kind(path: Path, folder: Path) -> str | None:
    """The kind of a file in a folder by its content; None if it is no image.

    Raises BadInput if it cannot be read, or is a link that leads out of the folder: what that shows was not given.
    """
    if path.is_symlink() and not _leads_inside(path, folder):
        raise BadInput(f"{path} is a link that leads out of {folder}")
    return opening.kind_of(path)


def check_folder(sources: Sequence[Path], target: Path, may_hold_files: bool) -> None:
    """Raises BadInput if the folder of the output is in the way, or lies in an input."""
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
