"""ONNX graphs become TensorRT engines, tried ahead of time or built for the GPU of this machine."""
