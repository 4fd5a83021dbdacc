"""Images on S3: what there is, where it goes, and the way here and back.

Where the storage is, and who asks for it, is said by the environment and the configuration files of AWS.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from domain_denoiser.base import atomic
from domain_denoiser.base.errors import BadInput
from domain_denoiser.formats import opening
from domain_denoiser.operations.restoring.files import Unwritable
from domain_denoiser.operations.restoring.plan import Found, Inputs, Job, Plan, check_folder, divided, find, places_of

if TYPE_CHECKING:
    from s3fs import S3FileSystem

START = 16  # bytes that tell the kind of an image


class Address(PurePosixPath):
    """A bucket, and an object or a folder in it."""

    @property
    def key(self) -> str:
        """bucket/folder/object"""
        return super().__str__()

    def __str__(self) -> str:
        return f"s3://{self.key}"


Place = Path | Address


def place(given: Path) -> Place:
    """The address that pathlib takes for a path `s3:/bucket/key`, or the path. Raises BadInput if it has no bucket."""
    if given.parts[:1] != ("s3:",):
        return given
    if len(given.parts) == 1:
        raise BadInput("s3:// has no bucket: s3://BUCKET/FOLDER is wanted")
    return Address(*given.parts[1:])


def storage() -> "S3FileSystem":
    """A client, which asks anew each time."""
    import s3fs

    return s3fs.S3FileSystem(use_listings_cache=False)


def plan(sources: Sequence[Place], target: Place, skip_existing: bool) -> Plan:
    """As `plan.plan`, for one input, where that or the folder `target` is on S3."""
    if len(sources) > 1:
        raise BadInput(f"one input at a time goes from or to S3, but there are {len(sources)}")
    [source] = sources
    client = storage()
    inputs = _found(client, source) if isinstance(source, Address) else find(sources)
    places, clashing = places_of(inputs.files)
    jobs = [Job(path, target / place) for path, place in places.items()]
    same = isinstance(target, Address) == isinstance(source, Address)
    if same and any(place.is_relative_to(source) for place in (target, *(job.place for job in jobs))):
        raise BadInput(f"{target} lies in the input {source}: give the output a place outside")
    if isinstance(target, Address):
        written = {target / key for key in _keys(client, target)}
        if written and not skip_existing:
            raise BadInput(f"{target} is there already: give another name, or --skip-existing to go on with it")
        there = {job for job in jobs if job.place in written}
    else:
        check_folder([], target, skip_existing)
        there = {job for job in jobs if job.place.exists()}
    return divided(jobs, there, [*inputs.broken, *clashing], inputs.skipped)


def fetch(client: "S3FileSystem", path: Address, to: Path) -> None:
    """Copy an object into a file. Raises BadInput if it cannot be read."""
    to.parent.mkdir(parents=True)
    try:
        client.get_file(path.key, str(to))
    except Exception as error:  # those of botocore have no base in common with those of s3fs
        if isinstance(error, OSError) and error.errno in atomic.NO_SPACE:
            raise
        raise BadInput(f"{path} cannot be read: {error}") from error


def put(client: "S3FileSystem", file: Path, place: Address) -> None:
    """Copy a file into an object, which is there whole or not at all. Raises Unwritable if that fails."""
    try:
        client.put_file(str(file), place.key)
    except Exception as error:
        raise Unwritable(f"{place} cannot be written: {error}") from error


@contextmanager
def at_hand(path: Place) -> Iterator[Path]:
    """The file itself, or while the block runs a copy of what is on S3. Raises BadInput if that cannot be read."""
    if not isinstance(path, Address):
        yield path
        return
    with TemporaryDirectory(prefix="denoise-") as folder:
        copy = Path(folder, "copy", path.name)
        fetch(storage(), path, copy)
        yield copy


def _keys(client: "S3FileSystem", folder: Address) -> list[str]:
    """The names of all objects in a folder and its subfolders, within it.

    Raises BadInput if S3 does not tell, or has an object there.
    """
    above = f"{folder.key}/"
    try:
        found = client.find(folder.key)
    except Exception as error:
        raise BadInput(f"{folder} cannot be listed: {error}") from error
    if folder.key in found:
        raise BadInput(f"{folder} is an object, but must be a folder: s3://BUCKET/FOLDER")
    # Programs with a window mark a folder by an empty object whose name ends in a slash.
    return [key.removeprefix(above) for key in found if key.startswith(above) and not key.endswith("/")]


def _found(client: "S3FileSystem", folder: Address) -> Inputs:
    """As `plan.find`. What has no name that a file in a folder can have, as with `..` in it, is broken."""
    broken, hidden, within = [], set(), []
    for key in _keys(client, folder):
        inside = PurePosixPath(key)
        dots = [name.startswith(".") for name in inside.parts]
        if str(inside) != key or ".." in inside.parts or inside.is_absolute() or "\0" in key:
            broken.append(f"{folder}/{key} has a name that no file in a folder can have")
        elif any(dots):
            hidden.add(inside.parts[: dots.index(True) + 1])  # a hidden folder counts as one file
        else:
            within.append(inside)
    folders = {above for inside in within for above in inside.parents}
    broken += [f"{folder / inside} is also the name of a folder" for inside in within if inside in folders]
    within = [inside for inside in within if inside not in folders]
    starts = client.cat_ranges([(folder / inside).key for inside in within], 0, START, on_error="return")
    kinds = [opening.kind(start) if isinstance(start, bytes) else None for start in starts]
    # What cannot be read, as it is empty or gone, may still be named like an image: then that will be said.
    files = [
        Found(folder / inside, kind, Path(inside))
        for inside, kind in zip(within, kinds)
        if kind is not None or inside.suffix.lower() in opening.SUFFIXES
    ]
    if not files and not broken:
        raise BadInput(f"{folder} holds no images: {', '.join(opening.SUFFIXES)} are known")
    return Inputs(files, broken, len(within) - len(files) + len(hidden))
