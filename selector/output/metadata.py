"""What only the owner of a set knows, such as its licence: read from a file, passed on, never invented."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from selector.errors import UsageError
from selector.folders.files import told

_TEXTS = ("name", "description", "url", "license", "citation", "version", "date")
_PEOPLE = ("creator", "publisher")
KNOWN = (*_TEXTS, "keywords", *_PEOPLE)
"""Texts; keywords is a list of texts; creator and publisher are one or several of what PERSON names."""
PERSON = ("type", "name", "url", "email")
_TYPES = ("Person", "Organization")

NONE: Mapping[str, Any] = MappingProxyType({})


def read_metadata(path: Path) -> dict[str, Any]:
    """The content of a file of --metadata, JSON values of KNOWN; raises UsageError that names the field at fault."""
    readers = {".json": json.loads, ".toml": tomllib.loads}
    if path.suffix.lower() not in readers:
        raise UsageError(f"--metadata: {path} must be a file of JSON or TOML, with a name that ends in .json or .toml")
    try:
        content = readers[path.suffix.lower()](path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"--metadata: {told(error, path, 'read')}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--metadata: {path} can't be read as {path.suffix[1:].upper()}: {error}") from None
    if not isinstance(content, dict):
        raise UsageError(f"--metadata: {path} must hold one object, with some of {', '.join(KNOWN)}")
    return {name: _checked(f"--metadata: {path}: {name}", name, value) for name, value in content.items()}


def _checked(place: str, name: str, value: Any) -> Any:
    if name not in KNOWN:
        raise UsageError(f"{place} is not known: expected some of {', '.join(KNOWN)}")
    if name == "keywords":
        return [_text(place, word) for word in _several(place, value)]
    if name in _PEOPLE:
        return [_person(place, one) for one in (value if isinstance(value, list) else [value])]
    if name != "date":
        return _text(place, value)
    try:
        return (value if isinstance(value, date) else datetime.fromisoformat(_text(place, value)).date()).isoformat()[
            :10
        ]
    except ValueError:
        raise UsageError(f"{place} must be a date as 2026-01-31, not {value!r}") from None


def _person(place: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not {"type", "name"} <= set(value) <= set(PERSON):
        raise UsageError(f"{place} must have type, name and, if known, url and email, not {value!r}")
    if value["type"] not in _TYPES:
        raise UsageError(f"{place}: type must be {' or '.join(_TYPES)}, not {value['type']!r}")
    return {part: _text(f"{place}: {part}", text) for part, text in value.items()}


def _several(place: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise UsageError(f"{place} must be a list of texts, not {value!r}")
    return value


def _text(place: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{place} must be a text that is not empty, not {value!r}")
    return value
