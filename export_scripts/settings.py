"""What the caller of an export decides, as one validated record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

from client.ranges import above, real, refuse_outside, whole
from export_scripts.class_list import NULL_PROMPT, PROMPT
from export_scripts.errors import PipelineError

ONNXRUNTIME, TENSORRT, TENSORRT_RTX = "onnxruntime", "tensorrt", "tensorrt-rtx"
RUNTIMES = (ONNXRUNTIME, TENSORRT, TENSORRT_RTX)
FP32, FP16 = "fp32", "fp16"
PRECISIONS = (FP32, FP16)
CAPABILITIES = ("8.0", "8.9")
_SIDE_PX = whole(8, 16384)
RANGES = {
    "draws": whole(2, 65536),
    "max_batch": whole(1, 65536),
    "resolution": _SIDE_PX,
    "gate_resolution": _SIDE_PX,
    "workspace_gb": above(0, 4096),
    "dift_timestep": whole(0, 100_000),
    "t_min": real(0, 1),
    "t_max": real(0, 1),
}


@dataclass(frozen=True)
class Lora:
    """path: a file of LoRA weights, or a folder that holds one. scale: how much of it is added to a pipeline's weights."""

    path: Path
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Raises PipelineError for a scale that adds nothing, or no number."""
        if not isfinite(self.scale) or not self.scale:
            raise PipelineError(
                f"the scale of the LoRA {self.path} is {self.scale:g}: it must be a number other than 0"
            )


@dataclass(frozen=True)
class Files:
    """Which of a pipeline's files are read. variant: of the weights, such as "fp16" (`*.fp16.safetensors`), None for those
    without one. config: the folder of configurations and tokenizers that goes with a single file of weights. allow_pickle:
    whether weights that may hold a program are read. loras: what is added to the weights, in this order.
    """

    variant: str | None = None
    config: Path | None = None
    allow_pickle: bool = False
    loras: tuple[Lora, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """What is read from a pipeline, and how. None stands for the pipeline's own value or, without one, the default.

    classes: ids for a pipeline with text encoders or labels; a small pipeline has its own. prompt, null_prompt: texts.
    resolution: side of images in pixels. t_min, t_max: the scored band, as fractions of the schedule (defaults 0.1 and
    0.7 of Stable Diffusion's, and as much noise of others, assumed: those of diff-mining's script). dift_timestep,
    dift_block: where features are taken (161, and 1 of a UNet or the middle block, assumed). class_names:
    as many as classes, or none where each class's name is its id. truncate: whether prompts may be cut to what the text
    encoder takes. files: which files of the pipeline are read. tell: takes lines for whoever waits.
    """

    classes: tuple[str, ...] | None = None
    prompt: str = PROMPT
    null_prompt: str = NULL_PROMPT
    resolution: int | None = None
    t_min: float | None = None
    t_max: float | None = None
    dift_timestep: int | None = None
    dift_block: int | str | None = None
    class_names: tuple[str, ...] = ()
    truncate: bool = False
    files: Files = Files()
    tell: Callable[[str], None] = field(default=lambda _line: None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Raises PipelineError for a value that no export can have."""
        _refuse_numbers(self)
        if self.t_min is not None and self.t_max is not None and self.t_min >= self.t_max:
            raise PipelineError(f"t_min must be less than t_max: {self.t_min:g} and {self.t_max:g} leave no timestep")


@dataclass(frozen=True)
class Settings:
    """How a pipeline is exported.

    draws: size of the bank, a power of two. max_batch: rows per request and run. runtime: what serves the heavy leaves;
    tensorrt-rtx only preflights engines. capabilities: compute capabilities of preflighted engines, such as "8.9".
    gate_resolution: image side at which the gates run, where that of the export takes too much memory; None is the
    export's. gate_images: folder of class folders for the gate of reduced precision; None is the built-in scenes.
    served_gate: whether an embedded server must accept the repository; None is wherever one can run. workspace_gb: scratch
    memory that an engine may take, in GiB; None leaves it to the builder.
    """

    draws: int = 64
    max_batch: int = 16
    precision: str = FP32
    runtime: str = ONNXRUNTIME
    capabilities: tuple[str, ...] = CAPABILITIES
    gate_resolution: int | None = None
    gate_images: Path | None = None
    served_gate: bool | None = None
    workspace_gb: float | None = None

    def __post_init__(self) -> None:
        """Raises PipelineError for a value that no export can have."""
        if self.runtime not in RUNTIMES or self.precision not in PRECISIONS:
            raise PipelineError(
                f"runtime {self.runtime!r} and precision {self.precision!r}: expected one of {', '.join(RUNTIMES)} "
                f"and one of {', '.join(PRECISIONS)}"
            )
        _refuse_numbers(self)
        if self.draws & (self.draws - 1):
            raise PipelineError(f"the number of draws must be a power of two of at least 2, not {self.draws}")

    @property
    def workspace_bytes(self) -> int | None:
        """`workspace_gb` in bytes."""
        return None if self.workspace_gb is None else round(self.workspace_gb * 2**30)


def _refuse_numbers(settings: Wanted | Settings) -> None:
    try:
        refuse_outside({name: numbers for name, numbers in RANGES.items() if hasattr(settings, name)}, settings)
    except ValueError as error:
        raise PipelineError(str(error)) from None
