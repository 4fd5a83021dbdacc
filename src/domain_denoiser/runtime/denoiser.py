"""A denoiser for arrays of any size, type and number of channels: what `from domain_denoiser import Denoiser` gives."""

import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

from domain_denoiser import layout
from domain_denoiser.base import project, reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.domain.profile import Finding
from domain_denoiser.domain.statistics import SUMS, sums
from domain_denoiser.formats import arrays, values
from domain_denoiser.runtime import tiles
from domain_denoiser.runtime.graphs import Graph
from domain_denoiser.runtime.scale import Scale
from domain_denoiser.runtime.tiles import Kept

LARGEST_GRAPH = 2**30  # bytes of a .onnx file
ALL = slice(None), slice(None)  # rows and columns
LARGEST_PIECE = 2**24  # pixels of an image that is restored in one piece: `conv` would need 3.7 GB for so many


def _nothing() -> None:
    """Nobody wants to know."""


class Judged(NamedTuple):
    """Restored images, and for each what is unlike the model's own images; None if nothing is."""

    images: np.ndarray  # [N, H, W, C]
    findings: list[Finding | None]

    def only(self, index: int) -> "Judged":
        """That one image of them."""
        return Judged(self.images[index : index + 1], self.findings[index : index + 1])


class Denoiser:
    """Restores noisy images by one ONNX graph. Equal images give equal values, whatever the number of threads."""

    def __init__(self, content: bytes, where: str, threads: int | None = None) -> None:
        """content: of a .onnx file. threads: as many as there are cores for this process if None.

        Raises BadInput, whose message starts with `where`, if the content is no graph of a denoiser.
        """
        self._where = where
        self._graph = Graph(content, where, _cores() if threads is None else threads)
        self.profile = self._graph.profile
        """What the images look like that it was trained for; None if its file does not say."""
        self.size = self._graph.size
        """Height and width of the images that it takes; None if it takes any size."""
        self.channels = self._graph.channels
        """1 if it restores colour channels one by one, 3 if together."""

    @classmethod
    def champion(cls, threads: int | None = None) -> "Denoiser":
        """The champion of the project around the working directory; outside of projects that of this package.

        Raises BadInput if there is none.
        """
        return cls(*champion(project.around(Path.cwd())), threads)

    @classmethod
    def load(cls, path: str | Path, threads: int | None = None) -> "Denoiser":
        """The denoiser of a .onnx file. Raises BadInput if it is none."""
        return cls(reading.content(Path(path), LARGEST_GRAPH), str(path), threads)

    def __call__(
        self, images: np.ndarray, value_range: tuple[float, float] = (0.0, 1.0), invert: bool = False
    ) -> np.ndarray:
        """Restored images, of the shape, type and byte order of `images`.

        images: [H, W], [H, W, C], [N, H, W], [N, H, W, C] or [N, C, H, W], with one or three channels C, which are the
        last axis if that has a length of 1 or 3. bool, uint8, uint16, or float within `value_range`, from which values
        may be off by 5 % of it, and are clipped. invert: for dark strokes on a light ground.

        A network for grey images restores the channels of colour images one by one. One for colour images restores them
        together; a grey image goes into it as three equal channels, and comes out as their mean.
        Raises BadInput for anything else.
        """
        block, scale = _checked(images, value_range, invert)
        return arrays.as_given(self.restore(block, scale), np.shape(images))

    def foreign(
        self, images: np.ndarray, value_range: tuple[float, float] = (0.0, 1.0), invert: bool = False
    ) -> list[str | None]:
        """For each image what is unlike those that the model was trained for, in words; None if nothing is.

        Everything as in a call. Nothing is foreign to a model whose file has no profile of its domain.
        """
        found = self.judged(*_checked(images, value_range, invert)).findings
        return [None if finding is None else finding.sentence() for finding in found]

    def restore(self, block: np.ndarray, scale: Scale) -> np.ndarray:
        """Restored images [N, H, W, C] of the type of `block`. As `judged`."""
        return self.judged(block, scale).images

    def judged(self, block: np.ndarray, scale: Scale, before_each: Callable[[], None] = _nothing) -> Judged:
        """Images [N, H, W, C] of the type of `block`, restored and judged; large ones are restored in tiles.

        before_each: called before each tile; what it raises ends the work.
        Raises BadInput if the denoiser does not take such images.
        """
        added = np.zeros((len(block), SUMS))

        def piece(some: np.ndarray, kept: Kept, at: slice) -> np.ndarray:
            before_each()
            restored, more = self._piece(some, scale, kept)
            added[at] += more
            return restored

        def one(index: int) -> np.ndarray:
            own = slice(index, index + 1)
            return tiles.in_tiles(lambda tile, kept: piece(tile[None], kept, own)[0], block[index], reach, tiles.SIDE)

        height, width = block.shape[1:3]
        if self.size is not None and (height, width) != self.size:
            raise BadInput(
                f"the images have {width} x {height} pixels, but {self._where} takes {self.size[1]} x {self.size[0]}"
            )
        reach = self._graph.reach
        if reach is None and height * width > LARGEST_PIECE:
            raise BadInput(
                f"the images have {width} x {height} pixels, but {self._where} does not say how far its network looks, "
                f"so they cannot be cut into tiles, and one piece may have {LARGEST_PIECE}"
            )
        if reach is None or max(height, width) <= tiles.SIDE + 2 * reach.halo:
            images = piece(block, ALL, slice(None))
        else:
            images = np.stack([one(index) for index in range(len(block))])
        findings = [None] * len(block) if self.profile is None else self.profile.findings(added)
        return Judged(images, findings)

    def _piece(self, block: np.ndarray, scale: Scale, kept: Kept) -> tuple[np.ndarray, np.ndarray]:
        """Restored images [N, H, W, C], and the sums over what is kept of all channels: [N, 8]."""
        noisy = scale.to_unit(np.ascontiguousarray(block.transpose(0, 3, 1, 2)))
        restored = self._graph.restore_any(noisy)
        added = np.zeros((len(block), SUMS))
        if self.profile is not None:
            added = sums(noisy[..., *kept], restored[..., *kept])
        return scale.from_unit(restored, block.dtype).transpose(0, 2, 3, 1), added


def _checked(images: np.ndarray, value_range: tuple[float, float], invert: bool) -> tuple[np.ndarray, Scale]:
    """Images of any accepted shape as [N, H, W, C], and their scale. Raises BadInput if they are none."""
    scale = Scale(*value_range, invert).checked("value_range")
    block = arrays.checked(np.asarray(images), "the array")
    if block.dtype.kind == "f":
        values.notes("the array", [block], value_range)
    elif value_range != (0.0, 1.0):
        raise BadInput(f"the array holds {block.dtype} values, whose range is known; value_range is for floats")
    return block, scale


def _cores() -> int:
    """Those that this process may use, where the system says so."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def champion(root: Path | None) -> tuple[bytes, str]:
    """The champion's graph and where it lies: of a project, or without one (None) of this package.

    Raises BadInput if there is none.
    """
    if root is not None:
        path = root / layout.CHAMPION / layout.GRAPH
        if path.is_file():
            return reading.content(path, LARGEST_GRAPH), str(path)
        raise BadInput(f"{root} has no champion yet ({layout.CHAMPION / layout.GRAPH} is missing)")
    packaged = resources.files("domain_denoiser") / "champion" / layout.GRAPH
    if packaged.is_file():
        return packaged.read_bytes(), "the champion of this package"
    raise BadInput(
        f"{Path.cwd()} lies in no project, and this installation has no champion of its own: name a project by "
        "--project or DENOISE_PROJECT"
    )
