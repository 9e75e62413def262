"""The bound of a replica, against a server model whose best bound is known."""

from __future__ import annotations

import pytest

from client.delivery.pacing import ROUNDS, AdaptiveBound


def settle(bound: AdaptiveBound, best: int, rounds: int, *, pressed: bool = True) -> list[int]:
    """Limits over time at a server whose throughput grows in proportion to the bound, up to `best` rows."""
    now, seen = 1.0, []
    for _ in range(rounds * ROUNDS):
        rows = bound.limit
        now += rows / min(rows, best)
        bound.answered(rows, now, pressed=pressed)
        seen.append(bound.limit)
    return seen


def test_a_window_grows_while_throughput_grows_and_then_stays() -> None:
    """To the first size that is as fast as any; larger ones are tried and given up."""
    bound = AdaptiveBound(8, 1024)
    seen = settle(bound, best=100, rounds=400)
    late = seen[-200 * ROUNDS :]
    assert min(late) >= 100
    assert sorted(late)[len(late) // 2] < 200
    assert max(seen) < 1024


def test_a_window_of_a_server_that_gains_nothing_stays_as_it_is() -> None:
    """It is tried larger more and more rarely."""
    seen = settle(AdaptiveBound(32, 256), best=4, rounds=200)
    assert set(seen) <= {32, 48}
    assert seen.count(48) < len(seen) / 8


def test_a_window_never_exceeds_its_most() -> None:
    assert max(settle(AdaptiveBound(8, 20), best=1000, rounds=100)) == 20


def test_nothing_is_learnt_while_nobody_waits() -> None:
    """An idle replica's throughput is the producer's."""
    assert set(settle(AdaptiveBound(8, 64), best=64, rounds=50, pressed=False)) == {8}


def test_refusals_halve_once_a_burst_and_never_below_one() -> None:
    """What was sent before the last halving says nothing new."""
    bound = AdaptiveBound(16, 64)
    assert bound.halve(sent_at=1.0, now=2.0)
    assert not bound.halve(sent_at=1.5, now=2.1)
    assert bound.limit == 8
    for moment in range(3, 10):
        assert bound.halve(sent_at=moment, now=moment)
    assert bound.limit == 1


def test_a_halved_window_grows_again() -> None:
    bound = AdaptiveBound(64, 64)
    bound.halve(0.5, 1.0)
    assert max(settle(bound, best=64, rounds=40)) == 64


@pytest.mark.parametrize(("start", "most"), [(0, 1), (2, 1)])
def test_a_window_that_can_not_be_is_refused(start: int, most: int) -> None:
    with pytest.raises(ValueError, match="must start between 1 and"):
        AdaptiveBound(start, most)
