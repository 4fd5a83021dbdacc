"""Which images are unlike those that the model was trained for: a sentence for each kind of finding and folder."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from domain_denoiser.base.errors import BadInput
from domain_denoiser.domain.profile import Finding

CHANCE = 0.05  # with which as many images of the domain itself would be called foreign: more is worth no warning
UNEVEN = 2.0  # as much more than the share in the profile may it be at a noise level
SENTENCES = 10  # at most


class Kind(NamedTuple):
    """What is found in the same folder and the same way."""

    folder: Path
    statistic: int | None  # None if none is unusual by itself
    side: int  # of what is expected


class Found(NamedTuple):
    """An image of a kind, the first that is sure if one is, its place in its file, and how many there are."""

    path: Path
    index: int
    finding: Finding
    images: int


class Watch:
    """Is told of every restored image."""

    def __init__(self, strict: bool, hint: Callable[[Path, int], str]) -> None:
        """strict: raise BadInput for a file with a foreign image.

        hint: what may help with an image of a file, appended to the sentence on it; or nothing.
        """
        self._strict, self._hint = strict, hint
        self._images: Counter[Path] = Counter()  # by folder
        self._kinds: dict[Kind, Found] = {}
        self._sure = False

    def see(self, path: Path, first: int, findings: Sequence[Finding | None]) -> None:
        """Images of a file, from its `first` on. Raises BadInput if one is foreign and that is not wanted."""
        self._images[path.parent] += len(findings)
        for index, finding in enumerate(findings, first):
            if finding is None:
                continue
            self._sure |= finding.sure
            kind = Kind(path.parent, finding.statistic if finding.side else None, finding.side)
            found = self._kinds.get(kind, Found(path, index, finding, 0))
            if finding.sure and not found.finding.sure:
                found = found._replace(path=path, index=index, finding=finding)
            self._kinds[kind] = found._replace(images=found.images + 1)
            if self._strict:
                hint = self._hint(path, index) or "; without --strict it is restored all the same"
                raise BadInput(
                    f"{path} does not look like the images that the model was trained for: {finding.sentence()}{hint}"
                )

    @property
    def images(self) -> int:
        """How many there are."""
        return self._images.total()

    @property
    def foreign(self) -> int:
        """How many of them are foreign."""
        return sum(found.images for found in self._kinds.values())

    def sentences(self, false_alarms: float) -> Iterator[str]:
        """At most SENTENCES, the most images first, and one on the rest.

        Nothing if so few images are foreign as would be by mistake, and none for sure; nothing if each was refused.
        false_alarms: the share of the domain's own images that is called foreign.
        """
        if self._strict or not (self._sure or self._unlikely(false_alarms)):
            return
        ordered = sorted(self._kinds.items(), key=lambda item: -item[1].images)
        for kind, found in ordered[:SENTENCES]:
            yield f"{self._subject(kind, found)}: {found.finding.sentence()}{self._hint(found.path, found.index)}"
        if rest := sum(found.images for _, found in ordered[SENTENCES:]):
            yield f"{rest} more images do not look like those that the model was trained for"

    def _subject(self, kind: Kind, found: Found) -> str:
        images = self._images[kind.folder]
        if images == 1:
            return f"{found.path} does not look like the images that the model was trained for"
        some = f"1 of {images} images does" if found.images == 1 else f"{found.images} of {images} images do"
        return f"in {kind.folder}, {some} not look like those that the model was trained for, as in {found.path.name}"

    def _unlikely(self, false_alarms: float) -> bool:
        """Whether so many or more of the domain's own images are called foreign with a probability below CHANCE.

        By Poisson's law. Twice as many as are expected, and ten, are always: the sum need not go so far.
        """
        mean = self.images * UNEVEN * false_alarms
        if self.foreign > 2 * mean + 10:
            return True
        fewer = (math.exp(number * math.log(mean) - mean - math.lgamma(number + 1)) for number in range(self.foreign))
        return self.foreign > 0 and 1 - sum(fewer) < CHANCE
