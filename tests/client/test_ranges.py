"""Which numbers a setting takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from client.bench.measure import Measuring
from client.config import ClientConfig
from client.delivery.patience import Backoff, RetryBudget
from client.ranges import Range, above, flag, real, refuse_outside, whole


@pytest.mark.parametrize(
    ("numbers", "good", "bad"),
    [
        (whole(0, 9), (0, 9, np.int64(3)), (-1, 10, 3.0, True, "3", None, math.nan, [3])),
        (real(0, 1), (0, 1, 0.5, np.float32(0.5)), (-1e-9, 1.1, math.nan, math.inf, -math.inf, True, "0.5")),
        (above(0, 1), (1e-9, 1), (0, 0.0, -0.0, 2)),
    ],
)
def test_a_range_holds_its_numbers_alone(numbers: Range, good: tuple[Any, ...], bad: tuple[Any, ...]) -> None:
    assert all(numbers.holds(value) for value in good)
    assert not any(numbers.holds(value) for value in bad)


def test_a_text_is_read_as_the_number_that_it_says() -> None:
    assert whole(0, 9).read(" 7 ") == 7
    assert real(0, 9).read("7") == 7.0
    for text in ("", "x", "1.5", "1e1", "nan", "0x1", "10"):
        with pytest.raises(ValueError, match=f"^must be a whole number from 0 to 9, not '{text}'$"):
            whole(0, 9).read(text)


def test_the_first_field_that_is_outside_is_named_and_none_is_no_number() -> None:
    @dataclass
    class Settings:
        side_px: int | None = None
        levels: tuple[float, ...] = (0.5, 1.0)

    ranges = {"side_px": whole(1, 9), "levels": above(0, 1)}
    refuse_outside(ranges, Settings())
    with pytest.raises(ValueError, match=r"^--side-px must be a whole number from 1 to 9, not 0$"):
        refuse_outside(ranges, Settings(side_px=0), flag)
    with pytest.raises(ValueError, match=r"^levels must be a number above 0, at most 1, not nan$"):
        refuse_outside(ranges, Settings(levels=(0.5, math.nan)))


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (ClientConfig, {"servers": ("a:1",), "ready_s": math.nan}),
        (ClientConfig, {"servers": ("a:1",), "deadline_s": 0.0}),
        (ClientConfig, {"servers": ("a:1",), "attempt_s": -1.0}),
        (ClientConfig, {"servers": ("a:1",), "linger_s": math.inf}),
        (ClientConfig, {"servers": ("a:1",), "bytes_in_flight": 0}),
        (ClientConfig, {"servers": ("a:1",), "metrics_address": "70000"}),
        (Backoff, {"first_s": -1.0}),
        (Backoff, {"longest_s": math.nan}),
        (RetryBudget, {"share": math.nan}),
        (RetryBudget, {"reserve": -1}),
        (Measuring, {"interval_s": math.nan}),
        (Measuring, {"most_intervals": 2}),
        (Measuring, {"slo_ms": 0.0}),
    ],
)
def test_settings_of_the_library_have_ranges_too(make: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{list(settings)[-1]} must be a"):
        make(**settings)
