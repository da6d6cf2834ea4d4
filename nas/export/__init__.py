"""Model files: ONNX graphs composed from blocks, and the folder that `extract` hands over."""
