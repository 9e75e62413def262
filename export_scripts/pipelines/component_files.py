"""The files of one component of a pipeline's folder: which there must be, and whether they are whole.

Downloads leave behind nothing, half a file, a git-lfs pointer, or another variant.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from export_scripts.errors import PipelineError

POINTER = b"version https://git-lfs"
SAFETENSORS, PICKLED = "safetensors", "bin"
TOKENIZER_FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"))
FETCH = "fetch the pipeline again"


def read_json(path: Path) -> dict[str, Any]:
    """The object in the file. Raises PipelineError."""
    check_whole(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise PipelineError(f"{path} is no JSON ({error}): {FETCH}") from error
    if not isinstance(values, dict):
        raise PipelineError(f"{path} holds a JSON {type(values).__name__}, not an object: {FETCH}")
    return values


def check_whole(path: Path) -> None:
    """Raises PipelineError for a file that is missing, empty, a git-lfs pointer, or a cut safetensors file."""
    try:
        with path.open("rb") as file:
            start = file.read(len(POINTER))
    except OSError as error:
        there = f" ({entries(path.parent)})" if isinstance(error, FileNotFoundError) else ""
        raise PipelineError(f"{path} can't be read: {error.strerror}{there}: {FETCH}") from error
    if not start:
        raise PipelineError(f"{path} is empty: {FETCH}")
    if start == POINTER:
        raise PipelineError(
            f"{path} is a git-lfs pointer, not the file itself: run `git lfs pull` in the pipeline's clone"
        )
    if path.suffix == f".{SAFETENSORS}":
        try:
            with safe_open(path, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise PipelineError(f"{path} is cut or damaged ({error}): {FETCH}") from error


def weights_kind(folder: Path, safetensors_stem: str, pickled_stem: str) -> str:
    """SAFETENSORS or PICKLED, whichever `folder` has whole, the first preferred; raises PipelineError without either.

    Stems: of the files' names, such as "diffusion_pytorch_model". Shards are named by an index file.
    """
    for stem, kind in ((safetensors_stem, SAFETENSORS), (pickled_stem, PICKLED)):
        whole, index = folder / f"{stem}.{kind}", folder / f"{stem}.{kind}.index.json"
        if whole.exists() or whole.is_symlink():
            check_whole(whole)
            return kind
        if index.exists():
            shards = read_json(index).get("weight_map")
            for name in sorted(set(map(str, shards.values())) if isinstance(shards, dict) else ()):
                check_whole(folder / name)
            return kind
    variants = sorted(path.name for path in folder.glob(f"{safetensors_stem}.*.{SAFETENSORS}"))
    if variants:
        variant = variants[0].removeprefix(f"{safetensors_stem}.").removesuffix(f".{SAFETENSORS}")
        raise PipelineError(
            f"{folder} holds {variants[0]} alone, which is the variant {variant}: fetch the full weights, or load the "
            f'pipeline with variant="{variant}" in diffusers and save it without one'
        )
    raise PipelineError(f"{folder} holds no weights ({safetensors_stem}.{SAFETENSORS}): {entries(folder)}; {FETCH}")


def check_tokenizer(folder: Path) -> None:
    """Raises PipelineError unless a tokenizer's words are there: transformers makes up an empty one without them."""
    for names in TOKENIZER_FILES:
        if all((folder / name).exists() for name in names):
            for name in names:
                check_whole(folder / name)
            check_whole(folder / "tokenizer_config.json")
            return
    wanted = " or ".join(" with ".join(names) for names in TOKENIZER_FILES)
    raise PipelineError(f"{folder} holds no tokenizer, which is {wanted}: {entries(folder)}; {FETCH}")


def entries(folder: Path, most: int = 5) -> str:
    """What a folder holds, in a few words."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:
        return f"no folder {folder.name} there"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"it holds {', '.join(names[:most])}{more}" if names else "it is empty"
