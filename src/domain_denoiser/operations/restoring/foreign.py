"""Which images are unlike those that the model was trained for: a sentence for each kind of finding and folder."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from domain_denoiser.base.errors import BadInput
from domain_denoiser.domain.profile import Finding

CHANCE = 0.05  # with which as many images of the domain itself would be called foreign: more is worth no warning
GUIDE = "docs/domain.md says how sure that is"


class Kind(NamedTuple):
    """What is found in the same folder and the same way."""

    folder: Path
    statistic: int
    above: bool  # what is expected; else below


class Found(NamedTuple):
    """The first image of a kind, and how many there are."""

    path: Path
    finding: Finding
    images: int


class Watch:
    """Is told of every restored image."""

    def __init__(self, strict: bool) -> None:
        """strict: raise BadInput for a file with a foreign image."""
        self._strict = strict
        self.images = 0
        self._kinds: dict[Kind, Found] = {}

    def see(self, path: Path, findings: Sequence[Finding | None]) -> None:
        """Images of a file. Raises BadInput if one is foreign and that is not wanted."""
        self.images += len(findings)
        for finding in findings:
            if finding is None:
                continue
            kind = Kind(path.parent, finding.statistic, finding.found > finding.high)
            first = self._kinds.get(kind, Found(path, finding, 0))
            self._kinds[kind] = first._replace(images=first.images + 1)
            if self._strict:
                raise BadInput(
                    f"{path} does not look like the images that the model was trained for: {finding.sentence()}; "
                    "without --strict it is restored all the same"
                )

    @property
    def foreign(self) -> int:
        """How many images of all are foreign."""
        return sum(found.images for found in self._kinds.values())

    def sentences(self, false_alarms: float, hint: Callable[[Path], str]) -> Iterator[str]:
        """None if so few images are foreign as would be by mistake, or if each has been refused.

        false_alarms: the share of the domain's own images that is called foreign; hint: what may help with a file,
        appended to the sentence.
        """
        if self._strict or _likely(self.images, self.foreign, false_alarms):
            return
        for kind, found in self._kinds.items():
            if self.images == 1:
                said = f"{found.path} does not look like the images that the model was trained for"
            else:
                some = f"{found.images} of {self.images} images, in {kind.folder}, as {found.path.name}"
                said = f"{some}, do not look like those that the model was trained for"
            yield f"{said}: {found.finding.sentence()}{hint(found.path)}; {GUIDE}"


def _likely(images: int, foreign: int, share: float) -> bool:
    """Whether so many or more of the domain's own images would be called foreign with a probability above CHANCE."""
    mean = images * share
    if foreign > 2 * mean + 10:
        return False
    fewer = sum(math.exp(number * math.log(mean) - mean - math.lgamma(number + 1)) for number in range(foreign))
    return 1 - fewer > CHANCE  # of Poisson's law
