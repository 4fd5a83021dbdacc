"""Small ONNX graphs that stand for denoisers: what comes out shows what went in."""

import onnx

OPSET = 18


def negative(size: tuple[int, int] | None = None, reach: tuple[int, int] | None = (0, 1)) -> bytes:
    """restored = 1 - noisy, for images of one size (height, width) or of any. reach: halo and step, if it says them."""
    shape = ["batch", 1, *(size or ("height", "width"))]
    noisy, restored = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("x", "y"))
    white = onnx.helper.make_tensor("white", onnx.TensorProto.FLOAT, [], [1.0])
    node = onnx.helper.make_node("Sub", ["white", "x"], ["y"])
    graph = onnx.helper.make_graph([node], "negative", [noisy], [restored], [white])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=10)
    if reach is not None:
        said = {"halo": str(reach[0]), "step": str(reach[1])}
        onnx.helper.set_model_props(model, said)
    return model.SerializeToString()
