"""perf_analyzer's rule: three intervals within 10 %, for throughput and for latency."""

from __future__ import annotations

import pytest

from client.bench.stability import Pace, judge


def paces(*pairs: tuple[float, float]) -> list[Pace]:
    return [Pace(*pair) for pair in pairs]


def test_three_windows_that_agree_are_stable() -> None:
    assert judge(paces((100, 20), (105, 21), (110, 22))).stable


def test_just_over_ten_percent_is_not() -> None:
    verdict = judge(paces((100, 20), (105, 20), (110.2, 20)))
    assert not verdict.stable
    assert verdict.reason == "throughput differs by 10 % over the last 3 intervals"


def test_latency_alone_can_spoil_it() -> None:
    verdict = judge(paces((100, 20), (100, 30), (100, 20)))
    assert not verdict.stable
    assert verdict.reason == "mean latency differs by 50 % over the last 3 intervals"


def test_two_windows_are_never_enough() -> None:
    assert judge(paces((100, 20), (100, 20))).reason == "only 2 of 3 intervals measured"


def test_only_the_last_three_windows_count() -> None:
    settled = paces((1, 900), (40, 100), (100, 20), (101, 20), (99, 20))
    assert judge(settled).stable
    assert not judge(settled[:4]).stable


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_window_without_an_answer_is_never_stable(position: int) -> None:
    intervals = paces((0, 0), (0, 0), (0, 0))
    intervals[position] = Pace(10, 5)
    assert "throughput is 0" in judge(intervals).reason
