"""One ONNX graph → one serialized TensorRT engine, by standard TensorRT and TensorRT-RTX alike.

Both modules have the same interface: `trt` is `tensorrt` (10.x, 11) or `tensorrt_rtx_bindings`. Networks are strongly
typed: the graph says which type everything runs in, which is the one way that TensorRT 11 still knows. TF32 is off: it
would take 13 bits of every float32 product away.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client import contract
from client.contract import Model
from export_scripts.errors import EngineRefused, RuntimeUnavailable
from export_scripts.settings import TENSORRT, TENSORRT_RTX

ENGINE_LEAVES = (contract.VAE_ENCODER, contract.UNET, contract.DIFT)
MODULES = {TENSORRT: "tensorrt", TENSORRT_RTX: "tensorrt_rtx_bindings"}
WHEELS = {
    TENSORRT: "install the tensorrt wheel of the serving container's version, on a GPU",
    TENSORRT_RTX: "pip install 'diffusion-selector[tensorrt-rtx]'",
}


@dataclass(frozen=True)
class Profile:
    """The batch sizes that an engine takes; every other axis is fixed."""

    least: int
    best: int
    most: int

    @classmethod
    def up_to(cls, max_batch: int) -> Profile:
        """1 to max_batch, tuned for half of it: a server's batches are rarely full."""
        return cls(1, max(1, max_batch // 2), max_batch)

    def as_dict(self) -> dict[str, int]:
        """The three sizes by TensorRT's names."""
        return {"min": self.least, "opt": self.best, "max": self.most}


@dataclass(frozen=True)
class BuildSettings:
    """capability: "8.9" for an engine built ahead of time (TensorRT-RTX); None is the GPU of this machine.
    workspace_bytes: scratch memory that an engine may take; None is the builder's own limit, the GPU's memory.
    timing_cache: a file that is read and written, or None."""

    profile: Profile
    capability: str | None = None
    workspace_bytes: int | None = None
    timing_cache: Path | None = None


def builder_module(runtime: str) -> Any:
    """The Python module of a runtime's builder. Raises RuntimeUnavailable with what to install."""
    try:
        return importlib.import_module(MODULES[runtime])
    except ImportError as error:
        raise RuntimeUnavailable(f"the runtime {runtime} needs {MODULES[runtime]!r}: {WHEELS[runtime]}") from error


def build_engine(trt: Any, model: Model, onnx_file: Path, settings: BuildSettings) -> Any:
    """The serialized engine, as a buffer. Raises EngineRefused with the builder's own words."""
    said: list[str] = []
    logger = _logger(trt, said)
    builder = trt.Builder(logger)
    # Standard TensorRT 11 has strong typing only, and no flag for it.
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(onnx_file)):
        errors = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise EngineRefused(f"{model.name}: {trt.__name__} {trt.__version__} refuses the graph: {errors}")
    _check_network(trt, model, network)
    config = _config(trt, builder, model, settings)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        limit, reason = settings.workspace_bytes, "; ".join(said) or "no reason given"
        scratch = "" if limit is None else f" (scratch memory was limited to {limit / 2**30:g} GiB)"
        raise EngineRefused(f"{model.name}: {trt.__name__} {trt.__version__} builds no engine: {reason}{scratch}")
    if settings.timing_cache is not None:
        cache = config.get_timing_cache()
        if cache is not None:
            settings.timing_cache.write_bytes(memoryview(cache.serialize()))
    return engine


def engine_values(trt: Any, builder: str, capability: str, profile: Profile) -> dict[str, Any]:
    """What a manifest says of the making of an engine."""
    return {"builder": f"{builder} {trt.__version__}", "compute_capability": capability, "profile": profile.as_dict()}


def capability_name(capability: str) -> str:
    """The builder's name of a compute capability: "8.9" → "SM89". Raises EngineRefused for what is none."""
    major, _, minor = capability.partition(".")
    if not (major.isdigit() and minor.isdigit() and len(minor) == 1):
        raise EngineRefused(f"{capability!r} is no compute capability: write it as 8.9")
    return f"SM{major}{minor}"


def _config(trt: Any, builder: Any, model: Model, settings: BuildSettings) -> Any:
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    if settings.workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_bytes)
    if settings.capability is not None:
        name = capability_name(settings.capability)
        known: Mapping[str, Any] = trt.ComputeCapability.__members__
        if name not in known:
            raise EngineRefused(
                f"{trt.__name__} {trt.__version__} builds no engine for {settings.capability}; it knows {', '.join(known)}"
            )
        config.num_compute_capabilities = 1
        config.set_compute_capability(known[name], 0)
    profile = builder.create_optimization_profile()
    for tensor in model.inputs:
        profile.set_shape(tensor.name, *((rows, *tensor.shape) for rows in settings.profile.as_dict().values()))
    config.add_optimization_profile(profile)
    if settings.timing_cache is not None:
        known_timings = settings.timing_cache.read_bytes() if settings.timing_cache.is_file() else b""
        config.set_timing_cache(config.create_timing_cache(known_timings), ignore_mismatch=False)
    return config


def _check_network(trt: Any, model: Model, network: Any) -> None:
    types = {"UINT8": trt.uint8, "INT32": trt.int32, "FP16": trt.float16, "FP32": trt.float32}
    found_inputs = [network.get_input(i) for i in range(network.num_inputs)]
    found_outputs = [network.get_output(i) for i in range(network.num_outputs)]
    for kind, declared, found in (("input", model.inputs, found_inputs), ("output", model.outputs, found_outputs)):
        expected = {t.name: (types[t.datatype], (-1, *t.shape)) for t in declared}
        built = {t.name: (t.dtype, tuple(t.shape)) for t in found}
        if expected != built:
            raise EngineRefused(f"{model.name}: {kind}s are {built}, the spec has {expected}")


def _logger(trt: Any, errors: list[str]) -> Any:
    """A logger that keeps the builder's errors, for the message of an exception, and prints nothing."""

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                errors.append(message)

    return Logger()
