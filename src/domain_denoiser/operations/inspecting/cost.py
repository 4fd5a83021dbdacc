"""What restoring would take: some files are restored into a folder that is removed, and one piece of the large ones."""

import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from domain_denoiser.operations.inspecting import survey
from domain_denoiser.operations.inspecting.survey import Survey
from domain_denoiser.operations.restoring import files
from domain_denoiser.operations.restoring.foreign import Watch
from domain_denoiser.operations.restoring.plan import Job
from domain_denoiser.runtime.denoiser import Denoiser
from domain_denoiser.runtime.scale import Scale

LEAST = 4  # small files that are restored; of very small ones a whole batch
BESIDE = 3  # blocks of images that lie in memory: one is read, one computed, one written


class Cost(NamedTuple):
    """About what restoring takes."""

    seconds: float
    memory_mb: float  # at most, at any time


def of(surveyed: Survey, denoiser: Denoiser, scale: Scale) -> Cost:
    """Measure it, in a second or two, and extrapolate. To pack and write large files is left out."""
    seconds = surveyed.reading_s
    if surveyed.small:
        number = len(surveyed.small)
        most = max(LEAST, -(-files.BATCH * number // surveyed.small_values))
        tried = sorted(survey.evenly(list(surveyed.small), most))
        jobs = [(path, surveyed.small[path]) for path in tried]
        _restoring(jobs[:1], denoiser, scale)  # the first time takes longer
        seconds += _restoring(jobs, denoiser, scale) * number / len(tried)
    if surveyed.piece is not None:
        denoiser.restore(surveyed.piece, scale)
        started = time.perf_counter()
        denoiser.restore(surveyed.piece, scale)
        *_, channels = surveyed.piece.shape
        computed = surveyed.piece.size // channels * max(channels, denoiser.channels)  # as `survey` counts it
        seconds += (time.perf_counter() - started) * surveyed.computed / computed
    return Cost(seconds, _most_mb() + BESIDE * surveyed.held / 1e6)


def _restoring(tried: list[tuple[Path, str]], denoiser: Denoiser, scale: Scale) -> float:
    """Seconds, for files with the suffixes of what comes out."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = [Job(path, Path(folder) / f"{number}{suffix}") for number, (path, suffix) in enumerate(tried)]
        started = time.perf_counter()
        files.restore(
            denoiser, jobs, scale, lambda path, sentence: None, Watch(strict=False, hint=lambda path, index: "")
        )
        return time.perf_counter() - started


def _most_mb() -> float:
    """The most memory that this process has had, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1e6 if sys.platform == "darwin" else 1e3)
