"""By which of ONNX Runtime's execution providers an instance of a model runs, and with which options.

Loaded beside model.py by tritonserver's stub process; imports nothing of ours. Tried with lists of providers, not on a GPU.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
GPUS = Path("/proc/driver/nvidia/gpus")

Providers = list[tuple[str, dict[str, str]]]


def providers(kind: str, gpu: int, asked: str, half: bool, engines: Path) -> Providers:
    """In the order in which ONNX Runtime asks them for each operator.

    kind: of the instance, as Triton calls it (CPU, GPU). asked: the provider that a GPU instance is to have. half: whether the
    graph is float16. engines: folder in which TensorRT keeps those of this graph on this GPU.
    """
    if kind != "GPU":
        return [(CPU, {})]
    cuda: tuple[str, dict[str, str]] = (CUDA, {"device_id": str(gpu), "use_tf32": "0"})
    if asked != TENSORRT:
        return [cuda, (CPU, {})]
    tensorrt = {
        "device_id": str(gpu),
        "trt_fp16_enable": str(int(half)),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(engines),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(engines),
    }
    return [(TENSORRT, tensorrt), cuda, (CPU, {})]


def problem(wanted: Providers, used: Sequence[str]) -> str:
    """Why a session is not what was wanted; "" if it is.

    ONNX Runtime itself only logs that a provider failed, and goes on with the next.
    """
    first = wanted[0][0]
    if first in used:
        return ""
    return (
        f"ONNX Runtime can't use its {first} here and would run by {', '.join(used)}: are driver, CUDA and cuDNN there in the "
        "versions that it was built for? The server's log has its words"
    )


def engine_folder(cache: Path, graph: Path, gpus: Path = GPUS) -> Path:
    """Where engines of this graph lie: under a name that says its bytes and the kinds of GPU in this machine."""
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(graph.parent.glob(f"{graph.name}*")):  # weights of 1 GB and more lie beside it
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return cache / f"{digest.hexdigest()}-{_gpu_names(gpus)}"


def _gpu_names(gpus: Path) -> str:
    names = set()
    for told in gpus.glob("*/information"):
        for line in told.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "Model":
                names.add(value.strip().replace(" ", "-").replace("/", "-"))
    return "+".join(sorted(names)) or "unknown-gpu"
