"""The fingerprint of a store: what all of its rows depend on, as a flat dict of JSON values in store.json.

Another value of any field is another store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selector.errors import StoreError
from selector.store.commits import read_json, write_first, write_json

Fingerprint = Mapping[str, Any]

LAYOUT = 3
"""Version of the layout on disk; part of store.json. No other is read: nothing was released with one."""

FILE = "store.json"


def is_unlabelled(fingerprint: Fingerprint) -> bool:
    """Whether the classes of the store were assigned by the model, not by labels."""
    return "assign_draws" in fingerprint


def write_fingerprint(store: Path, fingerprint: Fingerprint) -> None:
    """Writes store.json, whole or not at all, where none is by now; raises FileError."""
    write_json(store / FILE, {"layout": LAYOUT, "fingerprint": plain(fingerprint)}, write_first)


def read_fingerprint(path: Path) -> dict[str, Any]:
    """The fingerprint of the store at the path; raises StoreError if there is none or of another layout."""
    content = read_json(path / FILE)
    if content.get("layout") != LAYOUT:
        raise StoreError(
            f"{path} has layout {content.get('layout')!r}, this version reads layout {LAYOUT}: score again, into a new store"
        )
    return dict(content["fingerprint"])


def check_fingerprint(path: Path, found: Fingerprint, wanted: Fingerprint) -> None:
    """Raises StoreError that names the first differing field with both values, one of a single value before a list."""
    wanted = plain(wanted)
    if is_unlabelled(found) and not is_unlabelled(wanted):
        raise StoreError(
            f"{path} was scored without labels, the model chose its classes: add --unlabelled, or use another store"
        )
    if is_unlabelled(wanted) and not is_unlabelled(found):
        raise StoreError(f"{path} was scored by the labels of its data: leave --unlabelled out, or use another store")
    for name in sorted({*wanted, *found}, key=lambda name: (isinstance(found.get(name, wanted.get(name)), list), name)):
        if name not in wanted or name not in found or wanted[name] != found[name]:
            raise StoreError(_difference(path, name, found, wanted))


def plain(fingerprint: Fingerprint) -> dict[str, Any]:
    """The values as JSON gives them back (tuples become lists); raises ValueError for NaN and TypeError."""
    return dict(json.loads(json.dumps(dict(fingerprint), allow_nan=False)))


def _difference(path: Path, name: str, found: Fingerprint, wanted: Fingerprint) -> str:
    has, needs = found.get(name, "(absent)"), wanted.get(name, "(absent)")
    where = f"{name!r}"
    if isinstance(has, list) and isinstance(needs, list):
        if len(has) == len(needs):
            at = next(i for i, (a, b) in enumerate(zip(has, needs, strict=True)) if a != b)
            where, has, needs = f"{name!r}, entry {at}", has[at], needs[at]
        else:
            where = f"{name!r} ({len(has)} entries against {len(needs)})"
    return (
        f"{path} belongs to another configuration: {where} is {_shown(has)} there and {_shown(needs)} here. "
        "Use the store's configuration, or another store"
    )


def _shown(value: Any, most: int = 200) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[:most]}…"
