"""A pipeline's networks become torch graphs, one for each leaf model, and the graphs become ONNX files."""
