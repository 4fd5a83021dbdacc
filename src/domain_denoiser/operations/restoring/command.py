"""What `denoise restore` does: choose the denoiser, plan, restore, and say what became of it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from domain_denoiser.base import progress
from domain_denoiser.base.errors import BadInput, printable
from domain_denoiser.formats.image_file import ImageFile
from domain_denoiser.operations import choosing, ray_cluster
from domain_denoiser.operations.restoring import files, notes, s3
from domain_denoiser.operations.restoring.foreign import Watch
from domain_denoiser.operations.restoring.plan import Plan, is_one_file, plan
from domain_denoiser.runtime.denoiser import Denoiser
from domain_denoiser.runtime.scale import Scale

LOOKED_AT = 2**20  # pixels times channels of an image that is looked at once more, for a hint


class Options(NamedTuple):
    """The options of `denoise restore`."""

    model: str | None
    project: Path | None
    scale: Scale
    threads: int | None
    skip_existing: bool
    dry_run: bool
    strict: bool  # refuse images that are unlike those that the model was trained for
    ray: str | None = None  # the address of a cluster; None for this process alone
    workers: int | None = None  # processes of Ray


class Outcome(NamedTuple):
    """What there is to say."""

    lines: list[str]
    broken: list[str]  # a sentence on each file that was not restored


def run(sources: Sequence[Path], target: Path, options: Options) -> Outcome:
    """Restore files and folders. Raises BadInput if the output is in the way, if the only file is none, or if
    foreign images are to be refused by a model that does not know its domain."""
    *sources, target = (s3.place(path) for path in (*sources, target))
    on_s3 = [path for path in (*sources, target) if isinstance(path, s3.Address)]
    _check(options, on_s3)
    chosen = choosing.choose(options.model, options.project)
    planned = (s3.plan if on_s3 else plan)(sources, target, options.skip_existing)
    denoiser = Denoiser(chosen.content, chosen.where, options.threads)
    if options.strict and denoiser.profile is None:
        raise BadInput(f"{chosen.where} does not say what its images look like, so --strict can refuse none")
    with notes.once() as note:
        if options.dry_run:
            lines, failed = files.describe(denoiser, planned.jobs, options.scale, note)
            lines.append(
                f"{counted(len(lines), 'file')} would be restored by {chosen.name}: {target}{_beside(planned)}"
            )
            lines += ["--strict may refuse some of them: only restoring tells"] * options.strict
        else:
            watch = Watch(options.strict, partial(negative, denoiser, options.scale))
            done = _restored(chosen, denoiser, planned, target, options, note, watch)
            failed = list(done.broken.values())
            if denoiser.profile is not None:
                for sentence in watch.sentences(denoiser.profile.false_alarms):
                    progress.line(f"warning: {printable(sentence)}")
            lines = [f"{counted(done.images, 'image')} restored by {chosen.name}: {target}{_beside(planned)}"]
    broken = [*planned.broken, *failed]
    if broken and not on_s3 and is_one_file(sources):
        raise BadInput(broken[0])
    return Outcome(lines, broken)


def _restored(
    chosen: choosing.Chosen,
    denoiser: Denoiser,
    planned: Plan,
    target: s3.Place,
    options: Options,
    note: files.Note,
    watch: Watch,
) -> files.Done:
    if options.ray is None:
        return files.restore(denoiser, planned.jobs, options.scale, note, watch)
    from domain_denoiser.operations.restoring import cluster

    return cluster.restore(chosen, planned, target, options, note, watch)


def _check(options: Options, on_s3: Sequence[s3.Address]) -> None:
    """Raises BadInput if there are options or places that do not go together."""
    if options.ray is None:
        if options.workers is not None:
            raise BadInput("--workers is about the processes of Ray: it goes with --ray")
        if on_s3:
            raise BadInput(f"{on_s3[0]} is on S3, from and to which --ray restores")
        return
    ray_cluster.require("--ray")
    if options.threads is not None:
        raise BadInput("with --ray each process has one thread: --workers says how many processes there are")
    if options.dry_run and on_s3:
        raise BadInput(f"{on_s3[0]} is on S3, but --dry-run reads the headers of files of this machine alone")


def negative(denoiser: Denoiser, scale: Scale, path: s3.Place, index: int) -> str:
    """How a sentence on a foreign image goes on if its negative looks like what the model was trained for."""
    try:
        with s3.at_hand(path) as here:
            image = _image(files.fitting(here, denoiser, scale), index)
    except BadInput:  # it has changed since
        return ""
    if image is None or denoiser.judged(image, scale._replace(invert=not scale.invert)).findings != [None]:
        return ""
    return f"; its negative does look like them: try {'it without ' if scale.invert else ''}--invert"


def _image(file: ImageFile, index: int) -> np.ndarray | None:
    """One of a file, [1, H, W, C]; None if it is so large that restoring it once more takes a while."""
    for block in file.blocks():
        if index < len(block):
            image = block[index : index + 1]
            return image if image.size <= LOOKED_AT else None
        index -= len(block)
    return None


def scale(value_range: str, invert: bool) -> Scale:
    """The scale of the options. Raises BadInput if `value_range` is not LOW,HIGH: two finite numbers in this order."""
    try:
        low, high = map(float, value_range.split(","))
    except ValueError as error:
        raise BadInput(f"--range is {value_range!r}, but two numbers LOW,HIGH are wanted, like 0,255") from error
    return Scale(low, high, invert).checked("--range")


def _beside(planned: Plan) -> str:
    said = [f"{len(planned.there)} there already"] * bool(planned.there)
    said += [f"{counted(planned.skipped, 'other file')} skipped"] * bool(planned.skipped)
    return f" ({', '.join(said)})" if said else ""


def counted(number: int, what: str) -> str:
    """`1 image`, `2 images`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
