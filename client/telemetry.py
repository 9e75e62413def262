"""Nothing that a library would report of this machine leaves it.

Owns the variables that say so to the libraries, for this process and those that it starts. They are read when a library
is imported, so `client/__init__.py` sets them before anything else. A user's own value does not count: ONNX Runtime 1.32
reports unless it is told not to, writes a device id and a database of reports under HOME, and takes "0" for a yes.
"""

from __future__ import annotations

import os

OFF = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime
    "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub, and with it diffusers and transformers
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "DISABLE_SAFETENSORS_CONVERSION": "1",  # transformers would ask the hub to convert weights, in the background
}


def switch_off() -> None:
    """Sets the variables."""
    os.environ.update(OFF)
