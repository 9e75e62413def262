"""From a diffusers pipeline to a Triton model repository: scenes, small pipelines, ONNX, plans, gates."""

import client  # noqa: F401 - before any library that reports to its makers (client/telemetry.py)
