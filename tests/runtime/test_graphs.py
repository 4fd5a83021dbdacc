"""A network as one ONNX graph: its bytes, what it restores beside the network, and what is refused."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from domain_denoiser.base.errors import BadInput
from domain_denoiser.networks import architectures, exporting
from domain_denoiser.networks.architectures import Settings
from domain_denoiser.networks.mlp import Settings as MlpSettings
from domain_denoiser.networks.unet import Settings as UnetSettings
from domain_denoiser.runtime import graphs
from domain_denoiser.runtime.graphs import Graph

MLP = MlpSettings(architecture="mlp", hidden=8, output="sigmoid")
SIZES = {"fine_channels": 4, "coarse_channels": 8, "fine_blocks": 1, "coarse_blocks": 1}
UNET = UnetSettings(architecture="unet", image_channels=1, residual=False, **SIZES)
COLOUR = UNET.model_copy(update={"image_channels": 3})
HASH_ELSEWHERE = """
import hashlib, torch
from domain_denoiser.networks import architectures, exporting
from domain_denoiser.networks.unet import Settings as UnetSettings
torch.manual_seed(2018)
sizes = {"fine_channels": 4, "coarse_channels": 8, "fine_blocks": 1, "coarse_blocks": 1}
settings = UnetSettings(architecture="unet", image_channels=1, residual=False, **sizes)
print(hashlib.sha256(exporting.exported(architectures.build(settings).requires_grad_(False), settings)).hexdigest())
"""


def built(settings: Settings) -> torch.nn.Module:
    torch.manual_seed(2018)
    return architectures.build(settings).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    """Exported graphs."""
    networks = {"mlp": MLP, "unet": UNET, "colour": COLOUR}
    return {name: exporting.exported(built(settings), settings) for name, settings in networks.items()}


def restored(network: torch.nn.Module, noisy: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(noisy).unsqueeze(1)).clamp(0.0, 1.0).squeeze(1).numpy()


@pytest.mark.parametrize("height,width", [(1, 1), (3, 5), (27, 29), (28, 28), (64, 33), (513, 257)])
def test_a_graph_of_any_size_restores_as_its_network(contents, height, width):
    noisy = np.random.default_rng(height).random((2, height, width), dtype=np.float32)
    graph = Graph(contents["unet"], "here", 1)
    assert graph.size is None
    assert np.abs(graph.restore(noisy) - restored(built(UNET), noisy)).max() <= exporting.TOLERANCE


@pytest.mark.parametrize("height,width", [(1, 1), (27, 29), (64, 33), (257, 130)])
def test_a_graph_of_three_channels_restores_them_as_its_network(contents, height, width):
    noisy = np.random.default_rng(height).random((2, 3, height, width), dtype=np.float32)
    graph, network = Graph(contents["colour"], "here", 1), built(COLOUR)
    with torch.inference_mode():
        expected = network(torch.from_numpy(noisy)).clamp(0.0, 1.0).numpy()
    assert (graph.channels, Graph(contents["unet"], "here", 1).channels) == (3, 1)
    assert np.abs(graph.restore(noisy) - expected).max() <= exporting.TOLERANCE
    assert exporting.difference(network, COLOUR, graph, 1) <= exporting.TOLERANCE
    other = built(COLOUR)
    other.tail.bias.data += torch.tensor([0.0] * 8 + [0.1] * 4)  # of the last channel
    assert exporting.difference(other, COLOUR, graph, 1) > exporting.TOLERANCE


@pytest.mark.parametrize(
    "name,shape,wanted",
    [("unet", (2, 3, 8, 8), "N, H, W"), ("colour", (2, 8, 8), "N, 3, H, W")],
)
def test_images_of_other_channels_are_refused(contents, name, shape, wanted):
    with pytest.raises(BadInput) as raised:
        Graph(contents[name], "here", 1).restore(np.zeros(shape, np.float32))
    assert str(raised.value) == f"here takes images [{wanted}], but these are {list(shape)}"


def test_a_batch_has_as_many_values_whatever_the_channels(contents, monkeypatch):
    sizes = []
    real = Graph._run
    monkeypatch.setattr(Graph, "_run", lambda self, noisy: sizes.append(len(noisy)) or real(self, noisy))
    Graph(contents["unet"], "here", 1).restore(np.zeros((300, 28, 28), np.float32))
    Graph(contents["colour"], "here", 1).restore(np.zeros((100, 3, 28, 28), np.float32))
    assert sizes == [255, 45, 85, 15]


def test_the_post_network_takes_its_own_size_alone(contents, digits):
    graph = Graph(contents["mlp"], "here", 1)
    noisy = digits / np.float32(255.0)
    assert graph.size == (28, 28)
    assert np.abs(graph.restore(noisy) - restored(built(MLP), noisy)).max() <= exporting.TOLERANCE
    with pytest.raises(BadInput, match="cannot restore images of"):
        graph.restore(np.zeros((1, 28, 29), np.float32))


@pytest.mark.parametrize("count", [1, 3, 7])
def test_batches_do_not_show(contents, monkeypatch, count):
    graph = Graph(contents["unet"], "here", 1)
    noisy = np.random.default_rng(0).random((7, 12, 9), dtype=np.float32)
    whole = graph.restore(noisy)
    monkeypatch.setattr(graphs, "BATCH", count * 12 * 9)
    assert np.array_equal(graph.restore(noisy), whole)
    assert np.array_equal(graph.restore(noisy[:1]), whole[:1])


def test_threads_and_repetitions_give_equal_bytes(contents):
    noisy = np.random.default_rng(0).random((50, 28, 28), dtype=np.float32)
    first = [Graph(contents["unet"], "here", 2).restore(noisy) for _ in range(2)]
    assert np.array_equal(*first)


@pytest.mark.services
def test_equal_weights_give_equal_bytes_in_another_process_and_folder(contents, tmp_path):
    assert exporting.exported(built(UNET), UNET) == contents["unet"]
    command = [sys.executable, "-c", HASH_ELSEWHERE]
    elsewhere = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert elsewhere.split()[-1] == hashlib.sha256(contents["unet"]).hexdigest()


@pytest.mark.parametrize("name", ["mlp", "unet", "colour"])
def test_nothing_of_the_machine_is_in_it(contents, name):
    model = onnx.load_model_from_string(contents[name])
    onnx.checker.check_model(model, full_check=True)
    for word in (b"/", b".py", b"domain_denoiser", str(Path.home()).encode()[1:] + b"/"):
        told = [string for string in strings(contents[name]) if word in string]
        assert not told, told
    channels, size = 3 if name == "colour" else 1, [28, 28] if name == "mlp" else ["height", "width"]
    for value in (model.graph.input[0], model.graph.output[0]):
        dims = value.type.tensor_type.shape.dim
        assert [dim.dim_param or dim.dim_value for dim in dims] == ["batch", channels, *size]


def strings(content: bytes) -> list[bytes]:
    """Every name and note in a graph; its weights may hold any bytes."""
    model = onnx.load_model_from_string(content)
    for tensor in model.graph.initializer:
        tensor.raw_data = b""
    text = str(model).encode()
    return [line for line in text.splitlines() if b'"' in line]


def test_a_graph_with_weights_in_other_files_is_refused(contents, tmp_path, monkeypatch):
    """ONNX Runtime would read them from wherever the graph says, seen from the working directory."""
    model = onnx.load_model_from_string(contents["mlp"])
    onnx.save_model(model, tmp_path / "model.onnx", save_as_external_data=True, location="weights", size_threshold=1024)
    monkeypatch.chdir(tmp_path)
    assert Path("weights").stat().st_size > 1024
    with pytest.raises(BadInput, match=r"model\.onnx is not a valid ONNX graph"):
        Graph(Path("model.onnx").read_bytes(), "model.onnx", 1)


@pytest.mark.parametrize("content", [b"", b"no graph", b"\0" * 1000])
def test_what_is_no_graph_is_refused(content):
    with pytest.raises(BadInput, match="here is not a valid ONNX graph"):
        Graph(content, "here", 1)


def test_a_graph_that_is_cut_off_is_refused(contents):
    with pytest.raises(BadInput, match="here is not a valid ONNX graph"):
        Graph(contents["mlp"][:-100], "here", 1)


def one_node(operator: str, inputs: list[str], shape: list[str | int]) -> bytes:
    """A graph of one operator."""
    info = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("noisy", "restored")]
    graph = onnx.helper.make_graph([onnx.helper.make_node(operator, inputs, ["restored"])], "graph", info[:1], info[1:])
    opsets = [onnx.helper.make_opsetid("", exporting.OPSET)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


@pytest.mark.parametrize("shape", [["batch", 2, 28, 28], ["batch", "channels", 28, 28], ["batch", 784]])
def test_a_graph_of_other_images_is_refused(shape):
    with pytest.raises(BadInput, match=r"but a denoiser takes \[B, 1, H, W\] or \[B, 3, H, W\]"):
        Graph(one_node("Relu", ["noisy"], shape), "here", 1)


def test_what_is_not_a_number_gives_a_sentence():
    graph = Graph(one_node("Div", ["noisy", "noisy"], ["batch", 1, "height", "width"]), "here", 1)
    assert graph.restore(np.ones((1, 4, 4), np.float32)).min() == 1.0
    with pytest.raises(BadInput, match="its output is not a number"):
        graph.restore(np.zeros((1, 4, 4), np.float32))


def test_running_a_graph_imports_numpy_and_onnx_runtime_alone():
    """So that images can be restored by a small installation."""
    program = (
        "import sys; from domain_denoiser.runtime import graphs; before = 'onnxruntime' in sys.modules\n"
        "print(before, *sorted({'torch', 'onnx', 'pydantic', 'dvc', 'mlflow', 'scipy', 'PIL'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
