"""A pipeline's weights in one file, read by diffusers' `from_single_file` beside a folder of configurations.

The file says neither its schedule nor its prediction: the folder does. What both say must agree, and every weight of a
component must come from the file, since diffusers makes up random ones for those that it lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import is_accelerate_available
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from export_scripts.errors import PipelineError
from export_scripts.pipelines.component_files import SAFETENSORS, check_whole, read_json, refused_pickle
from export_scripts.pipelines.further_inputs import EXTRA_CHANNELS
from export_scripts.pipelines.known_fields import EPSILON, SCHEDULERS, V_PREDICTION

PICKLES = (".ckpt", ".bin", ".pt", ".pth")
SUFFIXES = (f".{SAFETENSORS}", *PICKLES)
DENOISERS = ("unet", "transformer")
_UNET, _FIRST = "model.diffusion_model.", ("input_blocks.0.0.weight", "conv_in.weight", "x_embedder.proj.weight")
_PARTS: Mapping[str, tuple[str, ...]] = {
    "vae": ("first_stage_model.", "vae."),
    "text_encoder": ("cond_stage_model.", "conditioner.embedders.0.", "text_encoders.clip_l."),
    "text_encoder_2": ("conditioner.embedders.1.", "text_encoders.clip_g."),
    "text_encoder_3": ("text_encoders.t5xxl.",),
}
"""How the names of a component's weights begin; a denoiser's are the others."""
_PREDICTIONS = {"v": V_PREDICTION, "epsilon": EPSILON}
_LAYER = re.compile(r"\.(?:layers|resblocks|block)\.(\d+)\.")


@dataclass(frozen=True)
class SingleFile:
    """weights: by their names in the file. said: what the file says of itself, by key."""

    path: Path
    weights: Mapping[str, Tensor]
    said: Mapping[str, str]

    def holds(self, slot: str) -> bool:
        """Whether the weights of a component are in it; without those of a denoiser there would be no file."""
        return slot in DENOISERS or bool(self._names(_PARTS.get(slot, ())))

    def layers(self, slot: str) -> int:
        """How many layers a text encoder has in it. OpenCLIP's last in Stable Diffusion 2 is left out, as by diffusers."""
        names = self._names(_PARTS.get(slot, ()))
        numbers = [int(found[1]) for name in names if (found := _LAYER.search(name))]
        unused = any(name.startswith("cond_stage_model.model.") for name in names)
        return max(numbers, default=-1) + 1 - unused

    def numbers(self) -> int:
        """How many numbers the denoiser has in it."""
        named = self._names((_UNET,))
        others = tuple(start for starts in _PARTS.values() for start in starts)
        names = named or [name for name in self.weights if not name.startswith(others)]
        return sum(self.weights[name].numel() for name in names)

    def _names(self, starts: tuple[str, ...]) -> list[str]:
        return [name for name in self.weights if name.startswith(starts)] if starts else []


def read_single_file(path: Path, allow_pickle: bool) -> SingleFile:
    """The weights in the file. Raises PipelineError for what is no pipeline's weights, or a pickle that is not allowed."""
    if path.suffix not in SUFFIXES:
        raise PipelineError(f"{path} is no file of weights that is read: {', '.join(SUFFIXES)}")
    if not is_accelerate_available():  # with it, a text encoder's weights that the file lacks are known
        raise PipelineError(f"a single file such as {path} needs the package accelerate: pip install '.[export]'")
    check_whole(path)
    said: Mapping[str, str] = {}
    if path.suffix in PICKLES:
        if not allow_pickle:
            raise PipelineError(refused_pickle(path))
        content = _unpickled(path)
    else:
        content = load_file(path)
        with safe_open(path, framework="pt") as file:
            said = file.metadata() or {}
    weights = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    _check_kind(path, weights)
    return SingleFile(path, weights, said)


def check_single_file(file: SingleFile, config: Path, needed: Mapping[str, str]) -> None:
    """Raises PipelineError unless the file agrees with the configurations in the folder. needed: its classes by slot."""
    first = next((file.weights[k] for k in (*(f"{_UNET}{k}" for k in _FIRST), *_FIRST) if k in file.weights), None)
    slot = next((slot for slot in DENOISERS if slot in needed), None)
    if first is not None and slot is not None:
        takes, found = read_json(config / slot / "config.json").get("in_channels"), int(first.shape[1])
        if found != takes:
            why = EXTRA_CHANNELS.get(found, "weights and configuration are not of the same model")
            raise PipelineError(
                f"the denoiser in {file.path} takes {found} channels, that of {config / slot / 'config.json'} {takes}: {why}"
            )
    said = "v" if "v_pred" in file.weights else file.said.get("modelspec.prediction_type")
    expected = read_json(config / "scheduler" / "scheduler_config.json").get("prediction_type", EPSILON)
    if needed["scheduler"] in SCHEDULERS and said in _PREDICTIONS and expected != _PREDICTIONS[said]:
        raise PipelineError(
            f"{file.path} says that it predicts {_PREDICTIONS[said]}, the scheduler_config.json in {config} {expected}: "
            "give --config the folder of a pipeline that predicts the same"
        )


def module_of(file: SingleFile, found: type, config: Path, slot: str) -> nn.Module:
    """A component of diffusers with its weights from the file. Raises PipelineError if some are missing or left."""
    if not hasattr(found, "from_single_file"):
        raise PipelineError(f"diffusers reads no {found.__name__} from a single file: name its folder")
    account: list[tuple[list[str], list[str]]] = []

    def load_state_dict(self: nn.Module, weights: Mapping[str, Any], *more: Any, **how: Any) -> Any:
        result = nn.Module.load_state_dict(self, weights, *more, **how)
        account.append((list(result.missing_keys), list(result.unexpected_keys)))
        return result

    watched: Any = type(found.__name__, (found,), {"load_state_dict": load_state_dict})
    module: nn.Module = watched.from_single_file(
        dict(file.weights), config=str(config), subfolder=slot, local_files_only=True, low_cpu_mem_usage=False
    )
    module.__class__ = found
    for names, what in zip(account[-1], ("lacks", "has more weights than"), strict=True):
        _refuse(file, found.__name__, what, names)
    if slot == "unet" and file.numbers() != (takes := sum(value.numel() for value in module.state_dict().values())):
        raise PipelineError(  # of blocks that it does not expect, diffusers reads none
            f"{file.path} holds a UNet of {file.numbers()} numbers, the config.json that --config names one of {takes}: weights "
            "and configuration are not of the same model"
        )
    return module.to(torch.float32).eval()


def check_text_encoder(file: SingleFile, slot: str, encoder: nn.Module) -> None:
    """Raises PipelineError unless all its weights came from the file: with accelerate, those that did not have no values."""
    name = type(encoder).__name__
    encoder.tie_weights()  # T5's table of words has two names, and files have one of them
    _refuse(file, name, "lacks", [key for key, value in encoder.state_dict().items() if value.is_meta])
    takes = int(encoder.config.num_hidden_layers)
    if file.layers(slot) > takes:
        _refuse(file, name, "has more weights than", [f"layer {takes} of {slot}"])


def _refuse(file: SingleFile, name: str, what: str, keys: Iterable[str]) -> None:
    keys = sorted(keys)
    if keys:
        more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
        raise PipelineError(
            f"{file.path} {what} the {name} of the config.json that --config names: {', '.join(keys[:3])}{more}: weights and "
            "configuration are not of the same model"
        )


def _check_kind(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Raises PipelineError for weights that are no pipeline's."""

    def has(*parts: str) -> bool:
        return any(part in name for name in weights for part in parts)

    kinds = {
        "holds no weights": not weights,
        "is a LoRA: name the pipeline that it was made for, and this file with --lora": has("lora_", ".lora."),
        "is a ControlNet, which takes an image as a condition: no prompt table has one": has(
            "control_model.", "controlnet_"
        ),
        "is SDXL's refiner, which starts from another model's images": (
            has("conditioner.embedders.0.model.") and not has("conditioner.embedders.1.")
        ),
        "is of a UNet that is told σ in place of timesteps (EDM), which is not supported": has("edm_mean"),
        "is quantised with scales of its own, which is not supported": has(
            "scale_weight", "scaled_fp8", ".quant_state"
        ),
    }
    for what, is_so in kinds.items():
        if is_so:
            raise PipelineError(f"{path} {what}")


def _unpickled(path: Path) -> Mapping[Any, Any]:
    content = torch.load(path, map_location="cpu", weights_only=True)
    while isinstance(content, Mapping) and "state_dict" in content:
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise PipelineError(f"{path} holds a {type(content).__name__}, no weights by name")
    return content
