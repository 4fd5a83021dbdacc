"""What `denoise inspect` does: find the files, read them, measure, and say it in lines or as JSON."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from domain_denoiser.base import progress
from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations import choosing
from domain_denoiser.operations.inspecting import cost
from domain_denoiser.operations.inspecting.cost import Cost
from domain_denoiser.operations.inspecting.survey import Survey, survey
from domain_denoiser.operations.restoring.command import counted
from domain_denoiser.operations.restoring.plan import find, is_one_file
from domain_denoiser.runtime import noise_level
from domain_denoiser.runtime.denoiser import Denoiser
from domain_denoiser.runtime.scale import Scale

LEAST_SIGMA = 0.02  # less is called none: clean photos have as much of fine detail
TYPES = {"bool": "1 bit", "uint8": "8 bits", "uint16": "16 bits"}
COLOURS = {1: "grey", 3: "colour"}


class Noise(NamedTuple):
    """What the images have of it."""

    sigma: float  # of the range
    images: int  # that it was estimated on
    correlation: tuple[float, float]  # of neighbouring details, across and down: -0.5 of white noise
    independent: bool | None  # from pixel to pixel; None if there is too little noise to tell


class Domain(NamedTuple):
    """Whether the images look like those that the model was trained for."""

    images: int  # that were compared
    foreign: int
    findings: list[str]  # none if so few are foreign as would be by mistake


class Report(NamedTuple):
    """All that there is to say."""

    surveyed: Survey
    skipped: int
    noise: Noise | None  # None if there are too few pixels, or all have one bit
    domain: Domain | None  # None if the model does not say what its images look like
    cost: Cost
    name: str  # of the model

    def as_json(self) -> dict[str, object]:
        """Counters of kinds are by file, those of types and channels by image; sizes are width and height."""
        seen = self.surveyed
        return {
            "files": seen.kinds.total(),
            "images": seen.types.total(),
            "kinds": dict(seen.kinds),
            "smallest": seen.sizes and list(seen.sizes[0][::-1]),
            "largest": seen.sizes and list(seen.sizes[1][::-1]),
            "types": dict(seen.types),
            "channels": {str(number): images for number, images in seen.channels.items()},
            "skipped": self.skipped,
            "broken": seen.broken,
            "noise": self.noise and self.noise._asdict(),
            "domain": self.domain and self.domain._asdict(),
            "restoring": self.cost._asdict(),
        }

    def as_lines(self) -> list[str]:
        """For people; the broken files are not among them."""
        seen = self.surveyed
        lines = []
        if seen.sizes is not None:
            types = Counter({TYPES.get(name, name): number for name, number in seen.types.items()})
            colours = Counter({COLOURS[number]: images for number, images in seen.channels.items()})
            sizes = " to ".join(dict.fromkeys(f"{width} x {height}" for height, width in seen.sizes))
            held = f"{counted(seen.types.total(), 'image')} in {counted(seen.kinds.total(), 'file')}"
            lines = [
                f"{held}: {shares(seen.kinds)}, {sizes}, {shares(colours)}, {shares(types)}",
                f"noise: {_described(self.noise)}",
                *_compared(self.domain, self.name),
                f"restoring by {self.name}: about {_time(self.cost.seconds)} and {_memory(self.cost.memory_mb)}",
            ]
        lines += [f"{counted(self.skipped, 'other file')} skipped"] * bool(self.skipped)
        return lines


def run(sources: Sequence[Path], model: str | None, project: Path | None, scale: Scale) -> Report:
    """Read files and folders. Raises BadInput if there is no such model, and if the only file is no image."""
    chosen = choosing.choose(model, project)
    inputs = find(sources)
    denoiser = Denoiser(chosen.content, chosen.where)
    with progress.counter(len(inputs.files), "inspecting", "images") as count:
        surveyed = survey([file.path for file in inputs.files], denoiser, scale, count)
    surveyed.broken[:0] = inputs.broken
    if surveyed.broken and is_one_file(sources):
        raise BadInput(surveyed.broken[0])
    domain = _domain(surveyed, denoiser)
    return Report(surveyed, inputs.skipped, _noise(surveyed), domain, cost.of(surveyed, denoiser, scale), chosen.name)


def _noise(surveyed: Survey) -> Noise | None:
    sigma = None if surveyed.counts is None else noise_level.sigma(surveyed.counts)
    if sigma is None:
        return None
    independent = noise_level.independent(surveyed.counts) if sigma >= LEAST_SIGMA else None
    return Noise(sigma, surveyed.sampled, noise_level.correlations(surveyed.counts), independent)


def _domain(surveyed: Survey, denoiser: Denoiser) -> Domain | None:
    if denoiser.profile is None or surveyed.watch.images == 0:
        return None
    sentences = surveyed.watch.sentences(denoiser.profile.false_alarms)
    return Domain(surveyed.watch.images, surveyed.watch.foreign, list(sentences))


def _compared(domain: Domain | None, model: str) -> list[str]:
    if domain is None:
        return []
    if domain.findings:
        return [f"domain: {sentence}" for sentence in domain.findings]
    return [f"domain: like the images that {model} was trained for (of {counted(domain.images, 'image')})"]


def _described(noise: Noise | None) -> str:
    if noise is None:
        return "not known, as there are too few pixels or one bit each"
    of = f"of {counted(noise.images, 'image')}"
    if noise.independent is None:
        return f"none to speak of ({of})"
    if noise.independent:
        return f"sigma about {noise.sigma:.2f} of the range ({of}), independent from pixel to pixel"
    return f"sigma at least {noise.sigma:.2f} of the range ({of}), not independent from pixel to pixel"


def shares(counter: Counter[str]) -> str:
    """The only one, or each with its number, the most frequent first."""
    if len(counter) == 1:
        return next(iter(counter))
    return " and ".join(f"{number} {name}" for name, number in counter.most_common())


def _time(seconds: float) -> str:
    if seconds < 1:
        return "1 s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _memory(megabytes: float) -> str:
    """In tens of MB, rounded up."""
    return f"{-(-megabytes // 10) * 10:.0f} MB"
