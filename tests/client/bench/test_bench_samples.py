"""Percentiles, latency and goodput against cases worked by hand."""

from __future__ import annotations

import pytest

from client.bench.samples import Sample, lag_ms, latency, percentile, within


def sample(latency_ms: float, *, lag: float = 0.0, error: str = "") -> Sample:
    """A request due at 10 s."""
    return Sample(10.0, 10.0 + lag / 1e3, 10.0 + latency_ms / 1e3, error)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7.0], 50, 7.0),
        ([7.0], 99, 7.0),
        ([1.0, 2.0], 50, 1.0),
        ([1.0, 2.0], 51, 2.0),
        ([float(n) for n in range(1, 101)], 50, 50.0),
        ([float(n) for n in range(1, 101)], 99, 99.0),
        ([float(n) for n in range(1, 11)], 95, 10.0),
        ([float(n) for n in range(1, 11)], 90, 9.0),
    ],
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    values: list[float], percent: float, expected: float
) -> None:
    assert percentile(values, percent) == expected


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_latency_counts_from_the_moment_a_request_was_due() -> None:
    late = Sample(intended_s=1.0, sent_s=3.0, done_s=3.25)
    assert late.latency_s == pytest.approx(2.25)
    assert late.lag_s == pytest.approx(2.0)


def test_failed_requests_have_no_latency_and_no_goodput() -> None:
    seen = [sample(10), sample(30), sample(1, error="UNAVAILABLE")]
    found = latency(seen)
    assert found.mean_ms == pytest.approx(20)
    assert found.at(50) == pytest.approx(10)
    assert found.greatest_ms == pytest.approx(30)
    assert within(seen, slo_ms=25) == 1


def test_without_an_answer_every_latency_is_zero() -> None:
    assert latency([sample(5, error="gone")]).at(99) == 0.0
    assert lag_ms([]) == 0.0


def test_the_clients_lateness_is_reported_by_itself() -> None:
    assert lag_ms([sample(10, lag=k) for k in range(100)]) == pytest.approx(98)
