"""The deal of seats by Sainte-Laguë."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from selector.selection.seats import deal


def dealt(votes: list[float], size: int = 50) -> list[int]:
    """The queue number of every seat, for queues of `size` rows that share these votes evenly."""
    queues = [np.arange(size) + size * number for number in range(len(votes))]
    by_row = np.repeat(np.array(votes) / size, size)
    return (deal(queues, by_row, np.zeros(len(by_row))) // size).tolist()


def test_a_hand_worked_house_of_ten_seats() -> None:
    # 53, 24 and 23 votes divided by 1, 3, 5, …: 53, 24, 23, 17.67, 10.6, 8, 7.67, 7.57, 5.89, 4.82 (then 4.8)
    assert dealt([53, 24, 23])[:11] == [0, 1, 2, 0, 0, 1, 2, 0, 0, 0, 1]


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=6), st.integers(1, 40))
def test_every_prefix_satisfies_the_divisor_condition(votes: list[int], house: int) -> None:
    seats = np.bincount(dealt([float(v) for v in votes])[:house], minlength=len(votes))
    assert seats.sum() == min(house, 50 * len(votes))
    for one, has in enumerate(seats):
        for other, has_other in enumerate(seats):
            if (
                has and has_other < 50
            ):  # no seat would move: v/(2s − 1) of its holder is at least v/(2s + 1) of any other
                assert votes[one] / (2 * has - 1) >= votes[other] / (2 * has_other + 1) * (1 - 1e-9)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 2**16))
def test_every_row_is_dealt_once_and_queues_keep_their_order(sizes: list[int], seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows = draw.permutation(sum(sizes))
    queues = np.split(rows, np.cumsum(sizes)[:-1])
    sequence = deal(queues, draw.random(len(rows)), draw.normal(size=len(rows))).tolist()
    assert sorted(sequence) == list(range(len(rows)))
    for queue in queues:
        assert [row for row in sequence if row in set(queue.tolist())] == queue.tolist()


def test_a_queue_that_is_used_up_leaves_its_seats_to_the_others() -> None:
    assert deal([np.array([0]), np.array([1, 2, 3])], np.array([9.0, 0.1, 0.1, 0.1]), np.zeros(4)).tolist() == [
        0,
        1,
        2,
        3,
    ]


def test_without_any_votes_seats_follow_sizes() -> None:
    queues = [np.array([0, 1]), np.array([2, 3, 4, 5, 6, 7])]
    assert deal(queues, np.zeros(8), np.zeros(8)).tolist()[:4] == [2, 3, 0, 4]


def test_ties_go_to_median_typicality_then_size_then_smallest_row() -> None:
    pair, single = np.array([4, 5]), np.array([3])
    votes = np.array([1.0, 1.0, 1.0, 1.0, 0.5, 0.5])
    typicality = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert deal([single, pair], votes, typicality)[0] == 4, "the larger queue"
    assert deal([np.array([1]), np.array([0])], votes, typicality)[0] == 0, "the smallest row"
    typicality[3] = 0.1
    assert deal([single, pair], votes, typicality)[0] == 3, "the higher median typicality"


def test_nothing_is_dealt_from_no_queues() -> None:
    assert deal([], np.empty(0), np.empty(0)).tolist() == []
