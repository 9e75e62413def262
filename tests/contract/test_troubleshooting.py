"""docs/troubleshooting.md names messages that the code has."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
PACKAGES = ("client", "selector", "export_scripts")


def named() -> list[str]:
    """The fixed parts of messages: what stands in backticks in the first column."""
    found = [re.match(r"\| `([^`]+)` \|", line) for line in PAGE.read_text().splitlines()]
    return [match[1] for match in found if match]


@cache
def texts() -> frozenset[str]:
    """All pieces of text in the sources, those of a sentence with values in it between the values; no docstrings."""
    found = set()
    for path in (file for package in PACKAGES for file in (ROOT / package).rglob("*.py")):
        tree = ast.parse(path.read_text())
        spoken = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in spoken:
                found.add(node.value)
    return frozenset(found)


def test_the_page_has_its_tables() -> None:
    assert len(named()) > 60
    assert len(set(named())) == len(named())


@pytest.mark.parametrize("message", named())
def test_every_message_on_the_page_occurs_in_the_code(message: str) -> None:
    assert any(message in text for text in texts())
