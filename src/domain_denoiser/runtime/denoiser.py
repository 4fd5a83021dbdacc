"""A denoiser for arrays of any size, type and number of channels: what `from domain_denoiser import Denoiser` gives."""

import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np

from domain_denoiser import layout
from domain_denoiser.base import project, reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.formats import arrays, values
from domain_denoiser.runtime import tiles
from domain_denoiser.runtime.graphs import Graph
from domain_denoiser.runtime.scale import Scale

LARGEST_GRAPH = 2**30  # bytes of a .onnx file
LARGEST_PIECE = 2**24  # pixels of an image that is restored in one piece: `conv` would need 3.7 GB for so many


def _nothing() -> None:
    """Nobody wants to know."""


class Denoiser:
    """Restores noisy images by one ONNX graph. Equal images give equal values, whatever the number of threads."""

    def __init__(self, content: bytes, where: str, threads: int | None = None) -> None:
        """content: of a .onnx file. threads: as many as there are cores for this process if None.

        Raises BadInput, whose message starts with `where`, if the content is no graph of a denoiser.
        """
        self._where = where
        self._graph = Graph(content, where, _cores() if threads is None else threads)
        self.size = self._graph.size
        """Height and width of the images that it takes; None if it takes any size."""

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

        images: [H, W], [H, W, C], [N, H, W], [N, H, W, C] or [N, 1, H, W], with one or three channels C; three axes are
        [H, W, C] if the last has a length of 1 or 3. bool, uint8, uint16, or float within `value_range`, from which
        values may be off by 5 % of it, and are clipped. Channels are restored one by one. invert: for dark strokes on a
        light ground. Raises BadInput for anything else.
        """
        scale = Scale(*value_range, invert).checked("value_range")
        block = arrays.checked(np.asarray(images), "the array")
        if block.dtype.kind == "f":
            values.notes("the array", [block], value_range)
        elif value_range != (0.0, 1.0):
            raise BadInput(f"the array holds {block.dtype} values, whose range is known; value_range is for floats")
        return arrays.as_given(self.restore(block, scale), np.shape(images))

    def restore(self, block: np.ndarray, scale: Scale, before_each: Callable[[], None] = _nothing) -> np.ndarray:
        """Restored images [N, H, W, C] of the type of `block`; large ones are restored in tiles.

        before_each: called before each tile; what it raises ends the work.
        Raises BadInput if the denoiser does not take such images.
        """

        def piece(some: np.ndarray) -> np.ndarray:
            before_each()
            return self._piece(some, scale)

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
            return piece(block)
        return np.stack([tiles.in_tiles(lambda tile: piece(tile[None])[0], one, reach, tiles.SIDE) for one in block])

    def _piece(self, block: np.ndarray, scale: Scale) -> np.ndarray:
        """Restored images [N, H, W, C], channel by channel."""
        count, height, width, channels = block.shape
        planes = block.transpose(0, 3, 1, 2).reshape(-1, height, width)
        restored = scale.from_unit(self._graph.restore(scale.to_unit(planes)), block.dtype)
        return restored.reshape(count, channels, height, width).transpose(0, 2, 3, 1)


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
        "--project or DENOISE_PROJECT, or a model by --model"
    )
