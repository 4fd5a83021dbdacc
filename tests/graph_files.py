"""Small ONNX graphs that stand for denoisers: what comes out shows what went in; and a project with one."""

from pathlib import Path

import onnx

from domain_denoiser.domain.profile import Profile, written
from domain_denoiser.runtime.graphs import PROFILE

OPSET = 18


def darker(reach: tuple[int, int] = (0, 1)) -> bytes:
    """restored = noisy / 2, which is another image if it is inverted before and after."""
    return _graph("Mul", 0.5, None, reach, channels=1)


def negative(
    size: tuple[int, int] | None = None,
    reach: tuple[int, int] | None = (0, 1),
    profile: Profile | None = None,
    channels: int = 1,
) -> bytes:
    """restored = 1 - noisy, for images of one size (height, width) or of any.

    reach: halo and step, if it says them; profile: of its domain, if it says that.
    """
    graph = _graph("Sub", 1.0, size, reach, channels)
    if profile is None:
        return graph
    model = onnx.load_from_string(graph)
    model.metadata_props.add(key=PROFILE, value=written(profile))
    return model.SerializeToString()


def _graph(
    operator: str, constant: float, size: tuple[int, int] | None, reach: tuple[int, int] | None, channels: int
) -> bytes:
    """restored = operator(constant, noisy)."""
    shape = ["batch", channels, *(size or ("height", "width"))]
    noisy, restored = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("x", "y"))
    value = onnx.helper.make_tensor("constant", onnx.TensorProto.FLOAT, [], [constant])
    node = onnx.helper.make_node(operator, ["constant", "x"], ["y"])
    graph = onnx.helper.make_graph([node], "denoiser", [noisy], [restored], [value])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=10)
    if reach is not None:
        said = {"halo": str(reach[0]), "step": str(reach[1])}
        onnx.helper.set_model_props(model, said)
    return model.SerializeToString()


def project(root: Path) -> Path:
    """A new project whose champion gives negatives."""
    (root / ".dvc").mkdir(parents=True)
    (root / "champion").mkdir()
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "champion/model.onnx").write_bytes(negative())
    return root
