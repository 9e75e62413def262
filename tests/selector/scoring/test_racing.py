"""Racing: the budget holds, rounds double, and who goes on depends on the candidates alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selector.errors import UsageError
from selector.scoring.racing import Candidate, admitted, going_on, make_race


def candidate(number: int, class_id: int, typicality: float) -> Candidate:
    return Candidate(f"{class_id}/{number}.png", f"{number:016x}", class_id, typicality)


def test_sixteen_rows_of_twelve_draws_give_the_best_third_everything() -> None:
    race = make_race(12, 16)
    assert race is not None
    assert race.ends == (4, 8, 12)
    assert race.shares == pytest.approx((1, 2 / 3, 1 / 3))
    assert [list(race.span(r)) for r in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_where_rounds_double_the_images_halve() -> None:
    race = make_race(32, 20)
    assert race is not None
    assert race.ends == (4, 8, 16, 32)
    assert race.shares == pytest.approx((1, 1 / 2, 1 / 4, 1 / 8))


@given(st.integers(3, 32).map(lambda n: 2 * n), st.floats(0.01, 0.99))
def test_the_mean_of_rows_is_the_budget_and_shares_only_fall(draws: int, part: float) -> None:
    budget = 8 + part * (2 * draws - 8)
    race = make_race(draws, budget)
    assert race is not None
    spent = sum(2 * len(race.span(r)) * share for r, share in enumerate(race.shares))
    assert spent == pytest.approx(budget)
    assert list(race.shares) == sorted(race.shares, reverse=True)
    assert race.shares[0] == 1
    assert race.ends[-1] == draws
    assert all(end % 2 == 0 for end in race.ends), "rounds are whole antithetic pairs"


def test_the_full_budget_is_no_race_and_an_impossible_one_is_refused() -> None:
    assert make_race(12, None) is make_race(12, 24) is None
    for draws, rows in ((12, 8), (12, 25), (13, 16), (4, 6)):
        with pytest.raises(UsageError, match="--rows-per-image"):
            make_race(draws, rows)


values = st.floats(-1, 1, width=32)
groups = st.lists(st.tuples(st.integers(0, 2), values), min_size=1, max_size=40)


@given(groups, st.floats(0.01, 1), st.randoms())
def test_the_most_typical_share_of_each_class_goes_on_whatever_the_order(
    drawn: list[tuple[int, float]], share: float, random: object
) -> None:
    candidates = [candidate(i, class_id, value) for i, (class_id, value) in enumerate(drawn)]
    sizes = {c: sum(class_id == c for class_id, _ in drawn) for c, _ in drawn}
    last = going_on(candidates, sizes, share)
    chosen = admitted(candidates, last)
    for class_id, size in sizes.items():
        ours = [c for c in candidates if c.class_id == class_id]
        count = int(share * size + 1e-9)
        expected = sorted(ours, key=lambda c: (-c.typicality, c.image_id))[:count]
        assert sorted(c.source for c in chosen if c.class_id == class_id) == sorted(c.source for c in expected)
    shuffled = list(candidates)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert going_on(shuffled, sizes, share) == last


def test_a_share_is_of_the_class_and_not_of_those_left() -> None:
    left = [candidate(i, 0, float(i)) for i in range(5)]
    assert len(admitted(left, going_on(left, {0: 20}, 0.2))) == 4
    assert len(admitted(left, going_on(left, {0: 20}, 0.5))) == 5, "no more than there are"
    assert going_on(left, {0: 4}, 0.2) == {}
