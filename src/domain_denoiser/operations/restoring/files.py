"""Restores the files of a plan: one batch is computed while the next is read and the last is written."""

import errno
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from domain_denoiser.base import atomic, progress
from domain_denoiser.base.errors import BadInput
from domain_denoiser.domain.profile import Finding
from domain_denoiser.formats import opening
from domain_denoiser.formats.image_file import ImageFile
from domain_denoiser.operations.restoring.foreign import Watch
from domain_denoiser.operations.restoring.plan import Job
from domain_denoiser.runtime.denoiser import Denoiser, Judged
from domain_denoiser.runtime.scale import Scale

BATCH = 400_000  # pixels of files of one size that are restored together: about 500 of MNIST's images

Note = Callable[[Path, str], None]  # is given a file and a sentence about it
Given, Got = TypeVar("Given"), TypeVar("Got")


class Done(NamedTuple):
    """What became of the files."""

    restored: dict[Path, int]  # how many images each file has
    broken: dict[Path, str]  # a sentence on each file that could not be restored

    @property
    def images(self) -> int:
        """How many were restored."""
        return sum(self.restored.values())


class Read(NamedTuple):
    """A file that was opened; `block` are its images, [1, H, W, C], if it holds one."""

    job: Job
    file: ImageFile
    block: np.ndarray | None


def restore(
    denoiser: Denoiser, jobs: list[Job], scale: Scale, note: Note, watch: Watch, cleared: set[Path] | None = None
) -> Done:
    """Restore each file into its place, where it is there whole or not at all.

    cleared: as of `atomic.one_of_many`, for whoever calls this many times.
    A file that cannot be read, or that `watch` refuses, costs that file. Raises BadInput if a place cannot be written
    to, and OSError if the disk is full: those before it are there.
    """
    restored_files, broken = {}, {}
    cleared = set() if cleared is None else cleared
    stopping = threading.Event()

    def restored(block: np.ndarray) -> Judged | BadInput:
        try:
            return denoiser.judged(block, scale, partial(_go_on, stopping))
        except BadInput as error:
            return error

    def compute(group: list[Read]) -> Judged | BadInput | None:
        if group[0].block is None:
            return None
        blocks = [read.block for read in group]
        return restored(blocks[0] if len(blocks) == 1 else np.concatenate(blocks))

    with ThreadPoolExecutor(1) as computing, progress.counter(len(jobs), "restoring", "images") as count:
        opened = _read(denoiser, jobs, scale, note, broken, partial(count, 1, 0))
        try:
            for group, found in _beside(compute, _groups(opened), computing):
                for index, (job, file, _) in enumerate(group):
                    count(0, file.images - 1)
                    try:
                        if found is None:
                            parts = (part for _, part in _beside(restored, file.blocks(), computing))
                        else:
                            parts = [found if isinstance(found, BadInput) else found.only(index)]
                        with _writing(job.place), atomic.one_of_many(job.place, cleared) as temporary:
                            seen = _counted(parts, count, partial(watch.see, job.path))
                            file.write(temporary, seen, job.place.suffix.lower())
                    except Unwritable:
                        raise
                    except BadInput as error:
                        broken[job.path] = _naming(job.path, error)
                    else:
                        restored_files[job.path] = file.images
        finally:
            stopping.set()
    return Done(restored_files, broken)


class Stopping(Exception):
    """Whoever waited for the images does not want them any more."""


def _go_on(stopping: threading.Event) -> None:
    if stopping.is_set():
        raise Stopping


def _counted(
    parts: Iterable[Judged | BadInput],
    count: Callable[[int, int], None],
    see: Callable[[int, Sequence[Finding | None]], None],
) -> Iterator[np.ndarray]:
    """The restored blocks of a file, each counted when it was written. Raises the error that took a block's place."""
    first = 0
    for part in parts:
        if isinstance(part, BadInput):
            raise part
        see(first, part.findings)
        yield part.images
        count(len(part.images), 0)
        first += len(part.images)


def _naming(path: Path, error: BadInput) -> str:
    said = str(error)
    return said if str(path) in said else f"{path}: {said}"


def describe(denoiser: Denoiser, jobs: list[Job], scale: Scale, note: Note) -> tuple[list[str], list[str]]:
    """A line on each file that would be restored, and a sentence on each that could not; nothing is computed."""
    lines, broken = [], []
    for job in jobs:
        try:
            file, notes = opened(job, denoiser, scale)
        except BadInput as error:
            broken.append(str(error))
            continue
        for sentence in notes:
            note(job.path, sentence)
        height, width = file.size
        held = f"{file.images} x " if file.images > 1 else ""
        lines.append(
            f"{job.path}: {file.kind}, {held}{width} x {height}, {'grey' if file.channels == 1 else 'colour'}, "
            f"{file.dtype} -> {job.place}"
        )
    return lines, broken


def opened(job: Job, denoiser: Denoiser, scale: Scale) -> tuple[ImageFile, list[str]]:
    """Open a file whose images the denoiser takes, for its place; with what a person should know of it.

    Raises BadInput if it is none.
    """
    file = fitting(job.path, denoiser, scale)
    if job.place.suffix.lower() not in file.output_suffixes():
        raise BadInput(
            f"{job.place} must end in {' or '.join(file.output_suffixes())}, as {job.path} is a {file.kind} file"
        )
    notes = list(file.notes)
    if file.channels > denoiser.channels:
        notes.append(
            f"{job.path} has {file.channels} colour channels, which are restored one by one by a model for grey"
        )
    return file, notes


def fitting(path: Path, denoiser: Denoiser, scale: Scale) -> ImageFile:
    """Open a file whose images the denoiser takes. Raises BadInput if it is none."""
    file = opening.opened(path, None if scale[:2] == Scale()[:2] else scale[:2])
    if denoiser.size is not None and file.size != denoiser.size:
        found, wanted = (f"{width} x {height}" for height, width in (file.size, denoiser.size))
        raise BadInput(f"{path} has {found} pixels, but the model takes {wanted}")
    return file


def _read(
    denoiser: Denoiser,
    jobs: Iterable[Job],
    scale: Scale,
    note: Note,
    broken: dict[Path, str],
    count: Callable[[], None],
) -> Iterator[Read]:
    """Open the files, one after another; each that cannot be read is counted, and gives a sentence in `broken`."""
    for job in jobs:
        try:
            file, notes = opened(job, denoiser, scale)
            block = next(file.blocks()) if file.images == 1 else None
        except BadInput as error:
            broken[job.path] = _naming(job.path, error)
            count()
            continue
        for sentence in notes:
            note(job.path, sentence)
        yield Read(job, file, block)


def _groups(opened: Iterable[Read]) -> Iterator[list[Read]]:
    """Neighbours with one image of one size and type each together, a file of several images alone."""
    group: list[Read] = []
    try:
        for read in opened:
            if group and not _go_together(group, read):
                full, group = group, [read]
                yield full
            else:
                group.append(read)
    except Exception:
        if group:
            yield group
        raise
    if group:
        yield group


def _go_together(group: list[Read], read: Read) -> bool:
    first = group[0].block
    if first is None or read.block is None or (first.shape, first.dtype) != (read.block.shape, read.block.dtype):
        return False
    return (len(group) + 1) * first.size <= BATCH


def _beside(
    function: Callable[[Given], Got], given: Iterable[Given], executor: Executor
) -> Iterator[tuple[Given, Got]]:
    """Each item with its result, in order: while one is used and the next is read, the one between is computed.

    What reading raises is raised after the results of all that was read before.
    """
    waiting = None
    try:
        for item in given:
            ready, waiting = waiting, (item, executor.submit(function, item))
            if ready is not None:
                yield ready[0], ready[1].result()
    except Exception:
        if waiting is not None:
            yield waiting[0], waiting[1].result()
        raise
    if waiting is not None:
        yield waiting[0], waiting[1].result()


class Unwritable(BadInput):
    """The place of the output."""


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """A place that cannot be written to is bad input, a full disk is none. What is read raises BadInput by itself."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            raise
        raise Unwritable(f"{target} cannot be written: {error.strerror}") from error
