"""What becomes of a configuration field that the exporter knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Used:
    """The mathematics follows the value, whatever it is."""


@dataclass(frozen=True)
class Irrelevant:
    """why: what the field is for, since it is not for the forward pass."""

    why: str


@dataclass(frozen=True)
class Only:
    """values: the supported ones. why: what the others would need."""

    values: tuple[Any, ...]
    why: str


Rule = Used | Irrelevant | Only
Fields = Mapping[str, Rule]


def every(rule: Rule, names: str) -> dict[str, Rule]:
    """The rule for each of the names, which spaces divide."""
    return dict.fromkeys(names.split(), rule)
