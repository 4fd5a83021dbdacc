"""Runs a denoiser that is one ONNX graph: the champion or a candidate. Needs only NumPy and ONNX Runtime."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import images
from domain_denoiser.domain import profile
from domain_denoiser.domain.profile import Profile
from domain_denoiser.runtime.tiles import Reach

if TYPE_CHECKING:
    import onnxruntime

BATCH = 200_000  # values: about 250 images of MNIST's size
REACH = ("halo", "step")  # metadata of the file: pixels
PROFILE = "profile"  # metadata of the file: of the domain, in JSON
NOWHERE = "/dev/null/"  # the folder for external weights: a graph that names weights in other files finds none


class Graph:
    """A graph from noisy to restored images, both float32 [B, C, H, W], C = 1 or 3.

    Equal images and threads give equal bytes on one kind of machine, independent of the current code of the network.
    """

    def __init__(self, content: bytes, where: str, threads: int) -> None:
        """content: of a .onnx file. Raises BadInput, whose message starts with `where`, if it is not such a graph."""
        self._where = where
        self._session = _session(content, where, threads)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if [given.type for given in (*inputs, *outputs)] != ["tensor(float)"] * 2 or len(inputs) != 1:
            raise BadInput(f"{where} is a graph with inputs or outputs other than one float32 tensor each")
        shape = inputs[0].shape
        if len(shape) != 4 or shape[1] not in (1, 3):
            raise BadInput(f"{where} takes the shape {shape}, but a denoiser takes [B, 1, H, W] or [B, 3, H, W]")
        self._name = inputs[0].name
        self.channels: int = shape[1]
        """Of the images that the graph accepts: 1, or 3, which it restores together."""
        self.size = (shape[2], shape[3]) if isinstance(shape[2], int) and isinstance(shape[3], int) else None
        """Height and width of the images that the graph accepts; None if it accepts any size."""
        notes = _notes(self._session, where)
        self.reach = _reach(notes, where)
        """How far its network looks; None if the file does not say: then large images are restored in one piece."""
        self.profile: Profile | None = _profile(notes, where)
        """What the images of its domain look like; None if the file does not say: then no image is called foreign."""

    def restore(self, noisy: np.ndarray) -> np.ndarray:
        """Restored images of the shape of `noisy`, float32, clipped to [0, 1].

        noisy: float32 [N, H, W] if the graph has one channel, [N, 3, H, W] if it has three, in [0, 1]; N, H and W must
        be at least 1. `Scale.to_unit` makes it of other types.
        Raises BadInput if the graph does not accept such images, or if its output is not images.
        """
        if images.channels(noisy) != self.channels:
            wanted = "[N, H, W]" if self.channels == 1 else "[N, 3, H, W]"
            raise BadInput(f"{self._where} takes images {wanted}, but these are {list(noisy.shape)}")
        batch_size = images.per_batch(BATCH, noisy)
        restored = np.empty(noisy.shape, np.float32)
        for start in range(0, len(noisy), batch_size):
            batch = slice(start, start + batch_size)
            restored[batch] = self._run(noisy[batch])
        return restored

    def restore_any(self, noisy: np.ndarray) -> np.ndarray:
        """As `restore`, for float32 [N, C, H, W] with C = 1 or 3, whatever the graph has; returns the same form.

        A graph of one channel restores colours one by one. Through one of three channels a grey image goes as three
        equal ones, and comes out as their mean.
        """
        if self.channels == 1:
            return self.restore(noisy.reshape(-1, *noisy.shape[2:])).reshape(noisy.shape)
        if noisy.shape[1] == self.channels:
            return self.restore(noisy)
        return self.restore(noisy.repeat(self.channels, axis=1)).mean(axis=1, keepdims=True)

    def _run(self, noisy: np.ndarray) -> np.ndarray:
        """A batch of `restore`."""
        given = noisy.reshape(len(noisy), self.channels, *noisy.shape[-2:])
        try:
            [restored] = self._session.run(None, {self._name: given})
        except Exception as error:  # the exception classes of ONNX Runtime have no other common base
            if "allocate" in str(error):
                raise MemoryError from error
            raise BadInput(f"{self._where} cannot restore images of {list(noisy.shape)}: {_short(error)}") from error
        if restored.shape != given.shape:
            raise BadInput(f"{self._where} makes {list(restored.shape)} of images {list(given.shape)}")
        if np.isnan(restored).any():
            raise BadInput(f"{self._where} has weights so large that its output is not a number")
        return restored.reshape(noisy.shape).clip(0.0, 1.0)


def _notes(session: "onnxruntime.InferenceSession", where: str) -> Mapping[str, str]:
    try:
        return session.get_modelmeta().custom_metadata_map
    except UnicodeDecodeError as error:
        raise BadInput(f"{where} has metadata that is no text") from error


def _reach(metadata: Mapping[str, str], where: str) -> Reach | None:
    found = [metadata.get(name) for name in REACH]
    if found == [None, None]:
        return None
    if not all(text is not None and text.isdecimal() and len(text) < 5 for text in found) or int(found[1]) == 0:
        raise BadInput(f"{where} says {dict(zip(REACH, found))} of itself, but two numbers of pixels are expected")
    return Reach(*map(int, found))


def _profile(metadata: Mapping[str, str], where: str) -> Profile | None:
    if PROFILE not in metadata:
        return None
    return profile.parse(metadata[PROFILE].encode(), f"the profile in {where}")


def _session(content: bytes, where: str, threads: int) -> "onnxruntime.InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 4  # errors are raised, not logged
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", NOWHERE)
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the exception classes of ONNX Runtime have no other common base
        raise BadInput(f"{where} is not a valid ONNX graph: {_short(error)}") from error


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
