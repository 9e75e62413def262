"""The files of one component of a pipeline's folder: which there must be, and whether they are whole.

Downloads leave behind nothing, half a file, a git-lfs pointer, some of the shards, or another variant.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from export_scripts.errors import PipelineError

POINTER = b"version https://git-lfs"
SAFETENSORS, PICKLED = "safetensors", "bin"
TOKENIZER_FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"))
FETCH = "fetch the pipeline again"

Stems = tuple[str, str]
"""How the names of a component's files of weights begin: of safetensors and of pickles."""
_SHARD = re.compile(r"\d+-of-\d+$")


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


@dataclass(frozen=True)
class Weights:
    """Where a component's weights are. kind: SAFETENSORS or PICKLED. variant: of the files, None for those without one."""

    kind: str
    variant: str | None = None


def find_weights(folder: Path, stems: Stems, variant: str | None = None, allow_pickle: bool = False) -> Weights:
    """The weights in `folder`, all files of them whole: of the variant or, where it has none such, those without one.

    Safetensors are preferred. Raises PipelineError for weights that are not there, are there twice, or are pickles.
    """
    for wanted in dict.fromkeys((variant, None)):
        for stem, kind in zip(stems, (SAFETENSORS, PICKLED), strict=True):
            files = _files_of(folder, stem, kind, wanted)
            if not files:
                continue
            if kind == PICKLED and not allow_pickle:
                raise PipelineError(refused_pickle(files[0]))
            for path in files:
                check_whole(path)
            return Weights(kind, wanted)
    others = variants_in(folder, stems)
    if others:
        raise PipelineError(
            f"{folder} holds weights of the variant {' and '.join(others)} alone, and none without a variant: choose them with "
            f"--variant {others[0]}"
        )
    raise PipelineError(f"{folder} holds no weights ({stems[0]}.{SAFETENSORS}): {entries(folder)}; {FETCH}")


def variants_in(folder: Path, stems: Stems) -> list[str]:
    """The variants of weights in `folder`, such as fp16: whole files and indices of shards."""
    found = set()
    for stem, kind in zip(stems, (SAFETENSORS, PICKLED), strict=True):
        found |= {p.name.removeprefix(f"{stem}.").removesuffix(f".{kind}") for p in folder.glob(f"{stem}.*.{kind}")}
        start, end = f"{stem}.{kind}.index.", ".json"
        found |= {p.name.removeprefix(start).removesuffix(end) for p in folder.glob(f"{start}*{end}")}
    return sorted(name for name in found if not _SHARD.search(name))


def refused_pickle(path: Path) -> str:
    """Why a pickle is not read without being asked for."""
    return (
        f"{path} is a pickle, which may hold a program: fetch the .{SAFETENSORS} in its place, or pass --allow-pickle if you "
        "trust its maker (torch then reads it with weights_only)"
    )


def _files_of(folder: Path, stem: str, kind: str, variant: str | None) -> list[Path]:
    """The one file of the weights, or all their shards, whether there or not; none without any sign of them."""
    part = f".{variant}" if variant else ""
    whole, index = folder / f"{stem}{part}.{kind}", folder / f"{stem}.{kind}.index{part}.json"
    there = whole.exists() or whole.is_symlink()
    if there and index.exists():
        raise PipelineError(
            f"{folder} holds its weights twice, as {whole.name} and as the shards of {index.name}: take away the ones that are "
            "not meant"
        )
    if there:
        return [whole]
    if not index.exists():
        return []
    shards = read_json(index).get("weight_map")
    names = sorted(set(map(str, shards.values()))) if isinstance(shards, dict) else []
    if not names:
        raise PipelineError(f"{index} names no shards: {FETCH}")
    missing = [name for name in names if not (folder / name).exists() and not (folder / name).is_symlink()]
    if missing:
        raise PipelineError(
            f"{folder} lacks {len(missing)} of the {len(names)} shards that {index.name} names: {', '.join(missing[:3])}; {FETCH}"
        )
    return [folder / name for name in names]


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
