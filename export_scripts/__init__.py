"""From a diffusers pipeline to a Triton model repository: scenes, small pipelines, ONNX, plans, gates."""
