"""What a run may be asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from client.bench.config import BenchConfig
from selector.bench import levels
from selector.errors import UsageError


@pytest.mark.parametrize(
    "settings",
    [
        {"concurrency": ()},
        {"concurrency": (0,)},
        {"rates": (5.0, 0.0)},
        {"arrivals": "bursty"},
        {"percent": 98},
        {"limit_ms": 0.0},
        {"rounds": 0},
        {"round_s": 0.0},
        {"batch": -1},
        {"draws": 0},
    ],
)
def test_what_can_not_work_is_refused_at_once(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must|positive"):
        BenchConfig(Path("repository"), **settings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4", (4,)), ("1,2,8", (1, 2, 8)), ("1:4", (1, 2, 3, 4)), ("2:8:3", (2, 5, 8)), ("3:3", (3,))],
)
def test_levels_are_numbers_by_comma_or_a_range_with_both_ends(text: str, expected: tuple[int, ...]) -> None:
    assert levels(text, int) == expected


@pytest.mark.parametrize("text", ["", "many", "1,", "4:1", "1:4:0", "1:2:3:4x"])
def test_other_levels_are_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="levels"):
        levels(text, int)
