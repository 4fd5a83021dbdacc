"""Runs a denoiser that is one ONNX graph: the champion, and what may replace it. Needs NumPy and ONNX Runtime alone."""

from typing import TYPE_CHECKING

import numpy as np

from domain_denoiser.base.errors import BadInput

if TYPE_CHECKING:
    import onnxruntime

PIXELS = 200_000  # in a batch: about 250 images of MNIST's size
NOWHERE = "/dev/null/"  # where a graph that names weights in other files finds them


class Graph:
    """A graph from noisy to restored images, both float32 [B, 1, H, W].

    Equal images and threads give equal bytes on one kind of machine, whatever today's code says of the network.
    """

    def __init__(self, content: bytes, where: str, threads: int) -> None:
        """content: of a .onnx file; where: opens the sentence of the BadInput if it is no such graph."""
        self._where = where
        self._session = _session(content, where, threads)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if [given.type for given in (*inputs, *outputs)] != ["tensor(float)"] * 2 or len(inputs) != 1:
            raise BadInput(f"{where} is a graph of other inputs or outputs than one float32 tensor each")
        shape = inputs[0].shape
        if len(shape) != 4 or shape[1] != 1:
            raise BadInput(f"{where} takes the shape {shape}, but a denoiser takes [B, 1, H, W]")
        self._name = inputs[0].name
        self.size = (shape[2], shape[3]) if isinstance(shape[2], int) and isinstance(shape[3], int) else None
        """Height and width of the images that it takes; None if it takes any."""

    def restore(self, noisy: np.ndarray) -> np.ndarray:
        """Restored images, float32 [N, H, W], clipped to [0, 1].

        noisy: uint8 [N, H, W], or float in [0, 1]; N, H and W of at least 1.
        Raises BadInput if the graph does not take such images, or gives no images.
        """
        at_once = max(1, PIXELS // (noisy.shape[1] * noisy.shape[2]))
        restored = np.empty(noisy.shape, np.float32)
        for start in range(0, len(noisy), at_once):
            batch = slice(start, start + at_once)
            restored[batch] = self._run(to_unit(noisy[batch]))
        return restored

    def _run(self, noisy: np.ndarray) -> np.ndarray:
        """float32 [B, H, W] -> the same, clipped."""
        try:
            [restored] = self._session.run(None, {self._name: noisy[:, np.newaxis]})
        except Exception as error:  # its classes share no base but this one
            if "allocate" in str(error):
                raise MemoryError from error
            raise BadInput(f"{self._where} cannot restore images of {list(noisy.shape)}: {_short(error)}") from error
        if restored.shape != (len(noisy), 1, *noisy.shape[1:]):
            raise BadInput(f"{self._where} makes {list(restored.shape)} of {len(noisy)} images {noisy.shape[1:]}")
        if np.isnan(restored).any():
            raise BadInput(f"{self._where} has weights that are so large that it gives no image")
        return restored[:, 0].clip(0.0, 1.0)


def to_unit(images: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W] -> float32 in [0, 1]; floats in [0, 1] of any width and byte order -> float32."""
    return images / np.float32(255.0) if images.dtype == np.uint8 else images.astype(np.float32)


def to_uint8(images: np.ndarray) -> np.ndarray:
    """float32 [N, H, W] in [0, 1] -> uint8, rounded to the nearest grey value."""
    return (images * np.float32(255.0)).round().astype(np.uint8)


def _session(content: bytes, where: str, threads: int) -> "onnxruntime.InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 4  # what is wrong is raised
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads leave the processor
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", NOWHERE)
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its classes share no base but this one
        raise BadInput(f"{where} is no ONNX graph that can be run: {_short(error)}") from error


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
