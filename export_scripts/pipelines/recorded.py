"""Which files an export read, as a repository remembers it: new classes for it are encoded by the same text encoders."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from export_scripts.errors import PipelineError
from export_scripts.pipelines.lora import file_of
from export_scripts.settings import Files, Lora


def record_of(files: Files) -> dict[str, Any]:
    """JSON-ready values by which the same files are found again. Trust in pickles is not kept."""
    config = None if files.config is None else str(files.config.resolve())
    return {"variant": files.variant, "config": config, "loras": [_lora_record(lora) for lora in files.loras]}


def as_recorded(files: Files, record: Mapping[str, Any]) -> Files:
    """The files of the record, where `files` names no others. Raises PipelineError for LoRAs that are not its own.

    A LoRA may lie elsewhere now. Another one, or another scale, would be in the prompts and not in the denoiser.
    """
    before = record.get("loras", [])
    if files.loras and [_known(_lora_record(lora)) for lora in files.loras] != [_known(lora) for lora in before]:
        told = ", ".join(f"{lora['path']}:{lora['scale']:g}" for lora in before) or "none"
        raise PipelineError(
            f"the repository's denoiser has other LoRAs than these ({told}): export it again, or leave --lora out"
        )
    config = record.get("config")
    return replace(
        files,
        variant=files.variant or record.get("variant"),
        config=files.config or (None if config is None else Path(config)),
        loras=files.loras or tuple(Lora(Path(lora["path"]), lora["scale"]) for lora in before),
    )


def _lora_record(lora: Lora) -> dict[str, Any]:
    file = file_of(lora.path)
    try:
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise PipelineError(f"the LoRA {file} can't be read: {error.strerror}") from error
    return {"path": str(lora.path.resolve()), "scale": lora.scale, "sha256": digest}


def _known(record: Mapping[str, Any]) -> tuple[str, float]:
    return record["sha256"], record["scale"]
