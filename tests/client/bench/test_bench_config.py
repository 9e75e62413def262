"""What a run may be asked for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click
import pytest

from client.bench.config import BenchConfig
from client.bench.ranges import LOADS
from selector.commands.parameters import Levels


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
        {"limit_ms": math.nan},
        {"rates": (math.inf,)},
        {"round_s": math.nan},
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
    assert Levels(LOADS["concurrency"]).convert(text, None, None) == expected


@pytest.mark.parametrize("text", ["", "many", "1,", "4:1", "1:4:0", "1:2:3:4x", "1:2:3:4", "1:60000", "1:inf", "nan"])
def test_other_levels_are_a_usage_error(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"levels|must be"):
        Levels(LOADS["concurrency"]).convert(text, None, None)


def test_rates_go_up_by_fractions() -> None:
    assert Levels(LOADS["rates"]).convert("0.5:2:0.5", None, None) == (0.5, 1.0, 1.5, 2.0)
