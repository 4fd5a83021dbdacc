"""Restores the files of a plan by Ray Data: on the cores of this machine, or of all machines of a cluster.

Each process of Ray restores on one thread and gives back what is to be said; this one speaks, and writes the manifest.
"""

import hashlib
import json
import logging
import math
import os
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from domain_denoiser.base import progress
from domain_denoiser.base.errors import BadInput
from domain_denoiser.domain.profile import Finding
from domain_denoiser.operations import ray_cluster
from domain_denoiser.operations.choosing import Chosen
from domain_denoiser.operations.ray_cluster import Folders
from domain_denoiser.operations.restoring import files, manifest, s3
from domain_denoiser.operations.restoring.command import Options, negative
from domain_denoiser.operations.restoring.files import Done, Note
from domain_denoiser.operations.restoring.foreign import Watch
from domain_denoiser.operations.restoring.plan import Job, Plan
from domain_denoiser.runtime.denoiser import Denoiser
from domain_denoiser.runtime.scale import Scale

if TYPE_CHECKING:
    from s3fs import S3FileSystem

FILES = 64  # of a task, at most
TASKS = 8  # for each process, at least, where there are so many files: else one with large files would be waited for
RETRIES = 3  # of a task whose process dies; without a bound one image could end processes for ever
TRANSFERS = 8  # from or to S3 at a time, of a process


def restore(chosen: Chosen, planned: Plan, target: s3.Place, options: Options, note: Note, watch: Watch) -> Done:
    """As `files.restore`, and a line on each file in the manifest of `target`: the same bytes, in the same order.

    Outputs that are there, but not in the manifest, as its process was killed before, get a line too.
    A file that ends each process which restores it costs the files of its task. Raises Failed if there is no cluster.
    """
    done = Done({}, {})
    with manifest.opened(manifest.place(target)) as (written, known, write):
        told = [(job, True) for job in planned.there if str(job.place) not in written]
        items = [*told, *((job, False) for job in planned.jobs)]
        for said in dict.fromkeys(said for said in planned.broken if said not in known):
            write({"input": None, "output": None, "images": 0, "sha256": None, "error": said})
        if not items:
            return done
        missing = {job.path: job.place for job, _ in items}
        with (
            _rows(chosen, items, options) as rows,
            progress.counter(len(planned.jobs), "restoring", "images") as count,
        ):
            for row in rows:
                path = s3.place(Path(row["input"]))
                del missing[path]
                write({name: row[name] for name in ("input", "output", "images", "sha256", "error")})
                if row["there"]:
                    continue
                for sentence in row["notes"]:
                    note(path, sentence)
                findings = [None] * row["seen"]
                for index, *found in row["findings"]:
                    findings[index] = Finding(*found)
                if not options.strict:  # else that was done there
                    watch.see(path, 0, findings)
                if row["error"] is None:
                    done.restored[path] = row["images"]
                else:
                    done.broken[path] = row["error"]
                count(max(1, row["seen"]), max(0, row["seen"] - 1))
        for path, place in missing.items():
            said = f"{path} or a file beside it ended the process that restored it, {RETRIES + 1} times"
            write({"input": str(path), "output": str(place), "images": 0, "sha256": None, "error": said})
            done.broken[path] = said
    return done


@contextmanager
def _rows(chosen: Chosen, items: Sequence[tuple[Job, bool]], options: Options) -> Iterator[Iterator[dict]]:
    """Yield a row on each item, in order, as they come. Raises Failed if there is no such cluster."""
    with ray_cluster.apart(_restored, chosen, items, options) as rows:
        yield (_checked(json.loads(row)) for row in rows)


def _restored(folders: Folders, chosen: Chosen, items: Sequence[tuple[Job, bool]], options: Options) -> Iterator[str]:
    os.environ["TMPDIR"] = folders.files
    with ray_cluster.connected(folders, options.ray, options.workers):
        import ray
        from ray.data import ActorPoolStrategy, DataContext, from_items

        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True
        context.max_errored_blocks = -1  # a process that dies costs its task
        cores = int(ray.cluster_resources().get("CPU", 1))
        processes = max(1, cores) if options.workers is None else options.workers
        tasks = math.ceil(len(items) / min(FILES, max(1, len(items) // (TASKS * processes))))
        # As text, since a name of a file need not be Unicode.
        given = [{"item": json.dumps((str(job.path), str(job.place), there))} for job, there in items]
        with warnings.catch_warnings(action="ignore"):  # that `max_task_retries` goes with Ray 2.64
            made = from_items(given, override_num_blocks=tasks).map_batches(
                Worker,
                batch_size=None,
                compute=ActorPoolStrategy(size=min(processes, tasks)),
                num_cpus=1,
                max_task_retries=RETRIES,
                fn_constructor_args=(chosen, options.scale, options.strict, Path.cwd()),
            )
        yield from (row["row"] for row in made.iter_rows())


def _checked(row: dict) -> dict:
    """Raises what ended a process of Ray."""
    match row.get("ended"):
        case None:
            return row
        case ["bad input", said]:
            raise BadInput(said)
        case ["memory"]:
            raise MemoryError
        case ["machine", number, said, name]:
            raise OSError(number, said, name)
        case other:
            raise RuntimeError(f"a process of Ray ended: {other}")


class Worker:
    """A process of Ray. It has one thread to compute: then bytes do not depend on how many processes there are."""

    def __init__(self, chosen: Chosen, scale: Scale, strict: bool, folder: Path) -> None:
        """folder: to which paths are relative."""
        self._denoiser = Denoiser(chosen.content, chosen.where, threads=1)
        self._scale, self._strict, self._folder = scale, strict, folder
        self._cleared: set[Path] = set()

    @cached_property
    def _storage(self) -> "S3FileSystem":
        return s3.storage()

    def __call__(self, block: dict[str, np.ndarray]) -> dict[str, list[str]]:
        """A row on each item, or one on what ends all of it."""
        local: dict[Job, Job] = {}
        try:
            with tempfile.TemporaryDirectory(prefix="denoise-") as own:
                items = [
                    (Job(s3.place(Path(path)), s3.place(Path(place))), there)
                    for path, place, there in map(json.loads, block["item"])
                ]
                local |= {job: self._local(job, Path(own, str(number))) for number, (job, _) in enumerate(items)}
                rows = [
                    *(self._row(job, self._hash(job.place), there=True) for job, there in items if there),
                    *self._restored({job: local[job] for job, there in items if not there}),
                ]
        except BadInput as error:
            rows = [{"ended": ("bad input", _given(str(error), local))}]
        except MemoryError:
            rows = [{"ended": ("memory",)}]
        except OSError as error:
            name = None if error.filename is None else _given(os.fsdecode(error.filename), local)
            rows = [{"ended": ("machine", error.errno, error.strerror, name)}]
        except Exception:
            rows = [{"ended": ("error", traceback.format_exc())}]
        return {"row": [json.dumps(row) for row in rows]}

    def _local(self, job: Job, own: Path) -> Job:
        """Where its files are on this machine; those on S3 in a folder of their own."""
        path, place = (
            own / side / path.name if isinstance(path, s3.Address) else self._folder / path
            for side, path in zip(("in", "out"), job)
        )
        return Job(path, place)

    def _restored(self, local: dict[Job, Job]) -> Iterator[dict]:
        notes: dict[Path, list[str]] = {at.path: [] for at in local.values()}
        seen = _Seen(self._strict, partial(negative, self._denoiser, self._scale))
        with ThreadPoolExecutor(TRANSFERS) as transfers:
            unread = dict(zip(local, transfers.map(self._fetched, local, local.values())))
            done = files.restore(
                self._denoiser,
                [at for job, at in local.items() if unread[job] is None],
                self._scale,
                lambda path, sentence: notes[path].append(sentence),
                seen,
                self._cleared,
            )
            whole = [job for job, at in local.items() if at.path in done.restored and isinstance(job.place, s3.Address)]
            list(transfers.map(lambda job: s3.put(self._storage, local[job].place, job.place), whole))
        self._cleared.difference_update(
            at.place.parent for job, at in local.items() if isinstance(job.place, s3.Address)
        )
        for job, at in local.items():
            error = unread[job] or done.broken.get(at.path)
            found = seen.found.get(at.path, [])
            yield self._row(
                job,
                None if error is not None else self._hash(at.place),
                error=None if error is None else _given(error, {job: at}),
                images=done.restored.get(at.path, 0),
                notes=[_given(sentence, {job: at}) for sentence in notes[at.path]],
                seen=len(found),
                findings=[(index, *one) for index, one in enumerate(found) if one is not None],
            )

    def _row(self, job: Job, sha256: str | None, **more: object) -> dict[str, object]:
        said = {"input": str(job.path), "output": str(job.place), "sha256": sha256, "there": False, "error": None}
        return {"images": None, **said, **more}

    def _fetched(self, job: Job, at: Job) -> str | None:
        """A sentence if that cannot be done."""
        try:
            if isinstance(job.path, s3.Address):
                s3.fetch(self._storage, job.path, at.path)
        except BadInput as error:
            return str(error)
        return None

    def _hash(self, place: s3.Place) -> str:
        with s3.at_hand(place) as here, (self._folder / here).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class _Seen(Watch):
    """Keeps what was found of each file."""

    def __init__(self, strict: bool, hint: Callable[[Path, int], str]) -> None:
        super().__init__(strict, hint)
        self.found: dict[Path, list[Finding | None]] = {}

    def see(self, path: Path, first: int, findings: Sequence[Finding | None]) -> None:
        self.found.setdefault(path, []).extend(findings)
        super().see(path, first, findings)


def _given(text: str, local: dict[Job, Job]) -> str:
    """The text with the paths that a person gave, in the place of those of this machine."""
    for job, at in local.items():
        text = text.replace(str(at.path), str(job.path)).replace(str(at.place), str(job.place))
    return text
