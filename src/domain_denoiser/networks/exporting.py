"""Export of a trained network as one ONNX graph, which runs without the code of the network."""

import re
import warnings
from collections.abc import Iterator

import numpy as np
import onnx
import torch

from domain_denoiser.core import images
from domain_denoiser.core.seeds import derive
from domain_denoiser.networks.architectures import Settings, channels, image_size, reach
from domain_denoiser.runtime.graphs import REACH, Graph

OPSET = 18
NOISY, RESTORED = "noisy", "restored"
AXES = ("batch", None, "height", "width")
TOLERANCE = 1e-5  # maximum difference between graph and network, at any pixel
# Heights and widths for networks that accept any size: of the exporter's example, and of the images that are compared.
EXAMPLE = (30, 34)
SIZES = ((1, 1), (3, 5), (28, 28), (27, 29), (64, 33))


def exported(network: torch.nn.Module, settings: Settings) -> bytes:
    """The content of a .onnx file: a graph from noisy to restored, both float32 [batch, C, height, width].

    network: with its weights, on the CPU. C: 1, or 3 for colour. The batch size is dynamic; height and width are fixed
    if the network accepts one size only. The file also says how far the network looks, for tiles. Equal weights give
    equal bytes in any process and folder: the file contains no path, no line of code and no host name.
    """
    size = image_size(settings)
    free = torch.export.Dim.DYNAMIC
    axes = {0: free} if size else {0: free, 2: free, 3: free}
    example = torch.zeros(2, channels(settings), *(size or EXAMPLE))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own code
        program = torch.onnx.export(
            network.eval(),
            (example,),
            dynamo=True,
            external_data=False,
            dynamic_shapes=(axes,),
            input_names=[NOISY],
            output_names=[RESTORED],
            opset_version=OPSET,
            verbose=False,
        )
    model = _plain(program.model_proto, channels(settings), size)
    if (found := reach(settings)) is not None:
        onnx.helper.set_model_props(model, {name: str(pixels) for name, pixels in zip(REACH, found)})
    return model.SerializeToString(deterministic=True)


def difference(network: torch.nn.Module, settings: Settings, graph: Graph, seed: int) -> float:
    """The maximum difference between the outputs of graph and network for random images, both clipped to [0, 1]."""
    size, largest = image_size(settings), 0.0
    colours = () if channels(settings) == 1 else (images.COLOURS,)
    for height, width in (size,) if size else SIZES:
        drawn = np.random.default_rng(derive(seed, "export", height, width))
        noisy = drawn.random((3, *colours, height, width), dtype=np.float32)
        with torch.inference_mode():
            restored = network(images.from_unit(noisy, "cpu")).clamp(0.0, 1.0)
        largest = max(largest, float(np.abs(images.to_unit(restored, np.float32) - graph.restore(noisy)).max()))
    return largest


def _plain(model: onnx.ModelProto, image_channels: int, size: tuple[int, int] | None) -> onnx.ModelProto:
    """The model without the exporter's notes on its sources: paths, lines of code, types between nodes. In place."""
    model.producer_version = re.sub(r"\+.*", "", model.producer_version)  # the same for every build of torch
    graph = model.graph
    del graph.value_info[:]
    for part in _all(model):
        del part.metadata_props[:]
        part.doc_string = ""
    for value in (graph.input[0], graph.output[0]):
        dims = value.type.tensor_type.shape.dim
        for dim, name, fixed in zip(dims, AXES, (None, image_channels, *(size or (None, None)))):
            dim.Clear()
            if fixed is None:
                dim.dim_param = name
            else:
                dim.dim_value = fixed
    return model


def _all(model: onnx.ModelProto) -> Iterator[object]:
    """All parts of a model that can contain notes."""
    graph = model.graph
    yield from (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output)
