"""A trained network as a file that others can run: ONNX, PyTorch's own program, or one compiled ahead of time."""
