"""The containers that a folder or a pattern stands for: tar shards, or Parquet files."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from braceexpand import braceexpand

from selector.errors import UsageError
from selector.images.locations import Location, is_url, without_secrets
from selector.images.recognition import suffix_of
from selector.images.remote import filesystem, insisted

SHARDS, PARQUET = "shards", "parquet"
KINDS = {"tar": SHARDS, "parquet": PARQUET, "pq": PARQUET}
"""What a container is by its suffix."""

_MOST = 1_000_000
_SPLIT = re.compile(r"(?:.*[^a-z])?(train|training|test|testing|val|valid|validation|dev|eval)(?![a-z])")
_SAME = {"training": "train", "testing": "test", "val": "validation", "valid": "validation", "dev": "validation"}
_MAGIC = re.compile(r"[*?\[{]")


@dataclass(frozen=True)
class Files:
    """files: name → path or URL, in their order. missing: names that a pattern asks for by name, and that are not there."""

    kind: str
    files: dict[str, str]
    missing: list[str] = field(default_factory=list)


def of_pattern(root: Location) -> Files:
    """The containers that a pattern on this machine stands for; raises UsageError if there are none, or of several kinds."""
    text = os.path.abspath(root.text)  # noqa: PTH100  # links are kept as they are named
    found, missing = [], []
    for one in expanded(text):
        if glob.has_magic(one):
            matches = sorted(glob.glob(one, recursive=True))  # noqa: PTH207  # a path's glob has no absolute pattern
            found += matches
        else:
            matches = [one] if Path(one).exists() else []
            found += matches
        missing += [] if matches else [one]
    return named(root, text, [path for path in found if not Path(path).is_dir()], missing)


def of_url(root: Location) -> Files:
    """The containers that a pattern of URLs, or a remote folder, stands for; raises OSError or UsageError."""
    text, found = str(root), list[str]()
    if not root.is_pattern:
        text = text.rstrip("/") + "/"
        found = [url for url in _asked(root, text, "ls") if suffix_of(url) in KINDS]
        if not found:
            raise UsageError(
                f"{root} is neither a tar, a zip archive or a Parquet file, nor a folder that holds .tar or .parquet files"
            )
        refuse_splits(text.rstrip("/"), found)
        return named(root, text, sorted(found), [])
    for one in expanded(text):
        found += sorted(_asked(root, one, "glob")) if glob.has_magic(one) else [one]
    return named(root, text, found, [])


def _asked(root: Location, text: str, method: str) -> list[str]:
    """The URLs that a folder ("ls") or a pattern ("glob") stands for."""
    system, path = filesystem(root.opened(text) if method == "ls" else text)
    found = insisted(lambda: [*getattr(system, method)(path, **({"detail": False} if method == "ls" else {}))], text)
    protocol = text.partition("://")[0]
    return [without_secrets(one if is_url(one) else f"{protocol}://{one.lstrip('/')}") for one in found]


def named(root: Location, text: str, found: Iterable[str], missing: Iterable[str]) -> Files:
    """Containers by their names below the fixed part of the pattern `text`; raises UsageError."""
    magic = _MAGIC.search(text)
    base = text[: magic.start() if magic else len(text)].rpartition("/")[0] + "/"
    files = {path.removeprefix(base): path for path in dict.fromkeys(found)}
    if not files:
        raise UsageError(f"{root} stands for no file: nothing is there that matches")
    return Files(kind_of_all(root, files), files, [path.removeprefix(base) for path in missing])


def kind_of_all(root: object, names: Iterable[str]) -> str:
    """The kind of the containers of these names; raises UsageError for another, and for several at once."""
    kinds = {KINDS.get(suffix_of(name), ""): name for name in names}
    if len(kinds) > 1 or "" in kinds:
        shown = ", ".join(sorted(kinds.values())[:3])
        raise UsageError(f"{root} must stand for .tar shards alone, or for .parquet files alone, not for {shown}")
    return next(iter(kinds))


def expanded(text: str) -> list[str]:
    """The texts that a pattern with braces stands for; raises UsageError for braces that do not fit, and for far too many."""
    try:
        texts = list(islice(braceexpand(text), _MOST + 1))
    except ValueError as error:
        raise UsageError(f"{text} is no pattern: {error}") from None
    if len(texts) > _MOST:
        raise UsageError(f"{text} stands for more than {_MOST} files: name fewer")
    return list(dict.fromkeys(texts))


def refuse_splits(root: object, names: Iterable[str]) -> None:
    """Raises UsageError if containers belong to several splits: a folder of them is not one data set."""
    splits: dict[str, str] = {}
    for name in names:
        found = _SPLIT.match(name.rpartition("/")[2].lower())
        if found:
            splits.setdefault(_SAME.get(found[1], found[1]), name)
    if len(splits) > 1:
        shown = ", ".join(sorted(splits.values())[:4])
        raise UsageError(
            f"{root} holds several splits ({shown}): name the files of one by a pattern, as in '{root}/train-*'"
        )
