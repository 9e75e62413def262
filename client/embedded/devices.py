"""Where the embedded server's models run: on the cores, or on GPUs by one of ONNX Runtime's execution providers.

`onnxruntime` and `onnxruntime-gpu` are two distributions of one module, and what is installed last overwrites the other's files:
no extra of ours can choose between them, so `make gpu-env` makes an environment that has the second alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

CPU, CUDA, TENSORRT = "cpu", "cuda", "tensorrt"
PROVIDERS = {CUDA: "CUDAExecutionProvider", TENSORRT: "TensorrtExecutionProvider"}
CACHE_VARIABLE = "SELECTOR_ENGINE_CACHE"
DISTRIBUTION = re.compile(r"^(onnxruntime|ort)(-(gpu|openvino|directml|qnn|training|migraphx|rocm|nightly)[a-z-]*)?$")
_FORM = re.compile(r"^(cpu|(cuda|tensorrt)(:\d+(,\d+)*)?)$")


@dataclass(frozen=True)
class Device:
    """kind: cpu, cuda or tensorrt. gpus: their numbers, as CUDA counts them by PCI bus; empty: each that is there."""

    kind: str = CPU
    gpus: tuple[int, ...] = ()

    def __str__(self) -> str:
        return self.kind + (":" + ",".join(map(str, self.gpus)) if self.gpus else "")

    @property
    def provider(self) -> str:
        """Of ONNX Runtime; "" on the cores."""
        return PROVIDERS.get(self.kind, "")


ON_CORES = Device()


def read_device(text: str) -> Device:
    """A device as people write it, such as cuda or cuda:0,2. Raises ValueError that says what is wrong."""
    if not _FORM.match(text):
        raise ValueError(f"{text!r} is no device: expected cpu, cuda[:N[,N…]] or tensorrt[:N[,N…]], such as cuda:0")
    kind, _, numbers = text.partition(":")
    gpus = tuple(int(number) for number in numbers.split(",")) if numbers else ()
    if len(set(gpus)) < len(gpus):
        raise ValueError(f"{text!r} names a GPU twice")
    return Device(kind, gpus)


def device_problem(device: Device, available: Sequence[str] | None = None) -> str | None:
    """Why models can't run there, as a plain sentence; None if nothing is known to be in the way.

    available: execution providers of the installed ONNX Runtime; None asks it.
    """
    if device.kind == CPU:
        return None
    if mixed := mixed_installation():
        return mixed
    if available is None:
        import onnxruntime

        available = onnxruntime.get_available_providers()
    if device.provider not in available:
        return (
            f"--device {device} needs ONNX Runtime's {device.provider}, which the one installed here does not have "
            f"(it has {', '.join(available)}): `make gpu-env` makes an environment with onnxruntime-gpu"
        )
    return None


def mixed_installation() -> str | None:
    """Which distributions of ONNX Runtime overwrite each other in this environment; None if there is one at most."""
    names = {str(found.metadata["Name"] or "").lower().replace("_", "-") for found in metadata.distributions()}
    found = sorted(name for name in names if DISTRIBUTION.match(name))
    if len(found) < 2:
        return None
    return (
        f"{' and '.join(found)} are installed side by side and own the same module, so which of them runs is chance: "
        "uninstall all of them, then install one"
    )


def environment(device: Device) -> dict[str, str]:
    """What the server's environment has more for this device.

    Numbers of GPUs are those of nvidia-smi, float32 is float32 (TF32 has ten bits of it), and engines are kept for later starts.
    """
    if device.kind == CPU:
        return {}
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "NVIDIA_TF32_OVERRIDE": "0",
        CACHE_VARIABLE: str(cache / "diffusion-selector" / "engines"),
    }
