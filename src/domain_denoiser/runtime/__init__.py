"""What uses a trained network: its ONNX graph on arrays of any size and type, without torch."""
