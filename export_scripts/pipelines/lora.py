"""LoRAs added to a pipeline's weights for good, by diffusers and peft, with an account of every weight in their files.

diffusers passes over what fits no layer. Here a LoRA that does not enter whole is refused: its scores would be those of a model
that nobody has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline, ModelMixin
from diffusers.loaders import StableDiffusionXLLoraLoaderMixin
from diffusers.utils import is_peft_available
from safetensors import safe_open
from torch import Tensor, nn

from export_scripts.errors import PipelineError
from export_scripts.pipelines.component_files import SAFETENSORS, check_whole, entries, refused_pickle
from export_scripts.pipelines.parts import one_line
from export_scripts.settings import Files, Lora

ADAPTER = "exported"
USUAL = f"pytorch_lora_weights.{SAFETENSORS}"  # the file that diffusers writes into a folder
Weights = Mapping[str, Tensor]


def fuse_loras(pipeline: DiffusionPipeline, files: Files) -> None:
    """Adds the LoRAs to the pipeline's weights, one after the other.

    Raises PipelineError for a LoRA that is not this pipeline's, whole.
    """
    for lora in files.loras:
        _fuse(pipeline, lora, files.allow_pickle)


def _fuse(pipeline: DiffusionPipeline, lora: Lora, allow_pickle: bool) -> None:
    file, slots = file_of(lora.path), _slots(pipeline, lora.path)
    content: Any = None
    check_whole(file)
    if file.suffix != f".{SAFETENSORS}":
        if not allow_pickle:
            raise PipelineError(refused_pickle(file))
        with one_line(str(file)):
            content = torch.load(file, map_location="cpu", weights_only=True)
    with one_line(f"the LoRA {file}"):
        weights, alphas, about = _read(pipeline, file, content)
    _check_names(file, weights, slots)
    present = [slot for slot in slots if getattr(pipeline, slot) is not None and _part(weights, slot)]
    for slot in present:
        module = getattr(pipeline, slot)
        with one_line(f"the LoRA {file}"):
            _attach(pipeline, slot, module, weights, alphas, about)
        _check_whole_use(file, slot, module, _part(weights, slot))
    if not present:
        return  # it is of components that are not loaded
    with one_line(f"the LoRA {file}"):
        pipeline.fuse_lora(components=present, lora_scale=lora.scale, adapter_names=[ADAPTER])
        pipeline.unload_lora_weights()


def file_of(path: Path) -> Path:
    """The file itself, or the one in a folder. Raises PipelineError without exactly one."""
    if not path.is_dir():
        return path
    if (path / USUAL).exists():
        return path / USUAL
    found = sorted(path.glob(f"*.{SAFETENSORS}"))
    if len(found) != 1:
        raise PipelineError(
            f"{path} holds {len(found)} files of LoRA weights: name the one that is meant ({entries(path)})"
        )
    return found[0]


def _slots(pipeline: DiffusionPipeline, path: Path) -> tuple[str, ...]:
    """The components that may have a LoRA, whether loaded or not."""
    if not hasattr(pipeline, "lora_state_dict"):
        raise PipelineError(f"diffusers adds no LoRA to a {type(pipeline).__name__}, so {path} can't be added")
    if not is_peft_available():
        raise PipelineError(f"the LoRA {path} needs the package peft: pip install '.[export]'")
    return tuple(pipeline._lora_loadable_modules)  # there is no public list


def _read(pipeline: DiffusionPipeline, file: Path, content: Any) -> tuple[Weights, Any, Any]:
    """Weights by diffusers' names, scales by layer, and what the file says of itself. content: of a pickle."""
    names = list(content) if content is not None else list(safe_open(file, framework="pt").keys())
    if any("dora_scale" in name for name in names):
        raise PipelineError(f"{file} is a DoRA, of whose weights diffusers would use a part alone: it is not supported")
    more: dict[str, Any] = {"return_lora_metadata": True, "local_files_only": True}
    if isinstance(pipeline, StableDiffusionXLLoraLoaderMixin) and pipeline.unet is not None:
        more["unet_config"] = pipeline.unet.config  # by it diffusers knows the makers' names of blocks
    if content is None:
        weights, *alphas, about = pipeline.lora_state_dict(str(file.parent), weight_name=file.name, **more)
    else:
        weights, *alphas, about = pipeline.lora_state_dict(dict(content), **more)
    return weights, alphas[0] if alphas else None, about


def _check_names(file: Path, weights: Weights, slots: tuple[str, ...]) -> None:
    strange = [name for name in weights if name.split(".")[0] not in slots or "lora" not in name]
    if strange or not weights:
        raise PipelineError(
            f"{_counted(file, strange, weights)} of no LoRA of {', '.join(slots)}: it is of another kind of "
            "pipeline or of another method"
        )


def _part(weights: Weights, slot: str) -> Weights:
    return {name: value for name, value in weights.items() if name.startswith(f"{slot}.")}


def _attach(
    pipeline: DiffusionPipeline, slot: str, module: nn.Module, weights: Weights, alphas: Any, about: Any
) -> None:
    """Puts the LoRA beside the layers of one component."""
    how = {"network_alphas": alphas, "adapter_name": ADAPTER, "metadata": about, "_pipeline": pipeline}
    if isinstance(module, ModelMixin):
        module.load_lora_adapter(dict(weights), prefix=slot, **how)
    else:
        pipeline.load_lora_into_text_encoder(dict(weights), text_encoder=module, prefix=slot, **how)


def _check_whole_use(file: Path, slot: str, module: nn.Module, weights: Weights) -> None:
    """Raises PipelineError unless the component now has exactly the file's weights beside its own."""
    used = {name: value for name, value in module.named_parameters() if f".{ADAPTER}." in name}
    keys = {name: _key(value) for name, value in weights.items()}
    added = Counter(map(_key, used.values()))
    left = [name for name, key in keys.items() if not added[key]]
    if left:
        raise PipelineError(
            f"{_counted(file, left, weights)} that fit no layer of the {slot}: it is of another pipeline"
        )
    if added != Counter(keys.values()):
        lacking = [name.replace(f".{ADAPTER}", "") for name, value in used.items() if _key(value) not in keys.values()]
        raise PipelineError(f"{file} lacks weights that its LoRA of the {slot} needs: {', '.join(lacking[:3])}")


def _key(value: Tensor) -> tuple[tuple[int, ...], bytes]:
    values = value.detach().to(torch.float32).contiguous()
    return tuple(values.shape), values.numpy().tobytes()


def _counted(file: Path, names: list[str], weights: Weights) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{file} has {len(names)} of {len(weights)} weights ({', '.join(names[:3])}{more})"
