"""The first N of every class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selector.errors import UsageError
from selector.records import PatchTable
from selector.selection.selection import Selection, refuse_short, select
from selector.selection.strategies import STRATEGIES
from tests.patch_tables import patch_table

NAMES = ["t-shirt", "trouser", "pullover"]


def picks(selection: Selection, class_id: int) -> list[int]:
    return selection.row[selection.class_id == class_id].tolist()


@given(
    counts=st.lists(st.integers(4, 40), min_size=1, max_size=4),
    order=st.sampled_from(list(STRATEGIES)),
    seed=st.integers(0, 1000),
)
@settings(max_examples=14, deadline=None)
def test_a_smaller_selection_is_the_beginning_of_a_larger_one_in_every_class(
    counts: list[int], order: str, seed: int
) -> None:
    table = patch_table(counts, seed)
    names = [f"class {number}" for number in range(len(counts))]
    largest = select(table, names, max(counts), order=order, on_short="all", seed=seed)
    for ipc in (1, 3):
        smaller = select(table, names, ipc, order=order, on_short="all", seed=seed)
        for number in range(len(counts)):
            assert picks(smaller, number) == picks(largest, number)[:ipc]


@given(counts=st.lists(st.integers(10, 30), min_size=1, max_size=4), ipc=st.integers(1, 10), seed=st.integers(0, 1000))
@settings(max_examples=12, deadline=None)
def test_every_class_gets_exactly_ipc_different_patches_of_its_own(counts: list[int], ipc: int, seed: int) -> None:
    table = patch_table(counts, seed)
    made = select(table, [str(number) for number in range(len(counts))], ipc)
    assert np.bincount(made.class_id, minlength=len(counts)).tolist() == [ipc] * len(counts)
    assert len(set(made.row.tolist())) == len(made) == ipc * len(counts)
    np.testing.assert_array_equal(table.class_id[made.row], made.class_id)
    assert made.rank.tolist() == list(range(ipc)) * len(counts)
    for number, order in made.orders.items():
        inside = made.class_id == number
        places = order.permutation[:ipc]
        np.testing.assert_array_equal(made.class_rows[number][places], made.row[inside])
        np.testing.assert_array_equal(order.cluster_label[places], made.cluster_label[inside])
        np.testing.assert_array_equal(order.membership[places], made.membership[inside])


@pytest.mark.parametrize("order", list(STRATEGIES))
def test_a_permuted_table_gives_the_same_picks(order: str) -> None:
    table = patch_table([30, 25, 20], 4)
    turn = np.random.default_rng(1).permutation(len(table))
    straight = select(table, NAMES, 12, order=order)
    turned = select(table.take(turn), NAMES, 12, order=order)
    np.testing.assert_array_equal(turn[turned.row], straight.row)
    np.testing.assert_array_equal(turned.cluster_label, straight.cluster_label)


def test_other_classes_in_the_table_do_not_change_a_class() -> None:
    table = patch_table([30, 25, 20], 4)
    for order in STRATEGIES:
        alone = select(table.take(table.class_id == 1), {1: "trouser"}, 9, order=order)
        together = select(table, NAMES, 9, order=order)
        assert table.image_id[table.class_id == 1][alone.row].tolist() == table.image_id[picks(together, 1)].tolist()


def test_patches_of_a_class_that_is_not_asked_for_are_left_out() -> None:
    made = select(patch_table([12, 12, 12]), {0: "t-shirt", 2: "pullover"}, 5)
    assert set(made.class_id.tolist()) == {0, 2}


def test_a_seed_changes_random_picks_and_classes_do_not_share_one() -> None:
    table = patch_table([40, 40])
    first, second = (select(table, ["a", "b"], 10, order="random", seed=seed) for seed in (1, 2))
    assert picks(first, 0) != picks(second, 0)
    assert [row - 40 for row in picks(first, 1)] != picks(first, 0)


def test_short_classes_are_refused_with_every_name_and_count_and_what_to_do() -> None:
    with pytest.raises(UsageError) as refused:
        select(patch_table([12, 5, 9]), NAMES, 10)
    told = str(refused.value)
    assert "2 of 3 classes" in told
    assert "trouser (5)" in told
    assert "pullover (9)" in told
    assert "t-shirt" not in told
    for remedy in ("--ipc 5 or less", "--on-short patches", "--on-short all", "--on-short repeat", "Add images"):
        assert remedy in told


def test_an_empty_class_is_named_and_no_smaller_ipc_is_offered() -> None:
    with pytest.raises(UsageError, match=r"pullover \(0\)") as refused:
        select(patch_table([12, 12]), NAMES, 10)
    assert "or less" not in str(refused.value)


def test_all_takes_what_is_there() -> None:
    made = select(patch_table([12, 5]), NAMES, 10, on_short="all")
    assert [len(picks(made, number)) for number in range(3)] == [10, 5, 0]
    assert made.orders[2].permutation.tolist() == []


def test_repeat_begins_the_order_again() -> None:
    made = select(patch_table([12, 3, 12]), NAMES, 8, on_short="repeat")
    again = picks(made, 1)
    assert again == (again[:3] * 3)[:8]
    assert made.rank[made.class_id == 1].tolist() == list(range(8))


def test_repeat_can_not_help_an_empty_class() -> None:
    with pytest.raises(UsageError, match=r"nothing to repeat.*pullover \(0\).*--on-short all"):
        select(patch_table([12, 3]), NAMES, 8, on_short="repeat")


def test_enough_patches_are_never_refused() -> None:
    refuse_short({"a": 3, "b": 4}, 3, "error")
    refuse_short({"a": 1}, 3, "repeat")
    refuse_short({"a": 0}, 3, "all")


def test_nonsense_is_refused() -> None:
    table = patch_table([12])
    with pytest.raises(UsageError, match="unknown order 'best'; there are: herding, facility-location"):
        select(table, ["a"], 5, order="best")
    with pytest.raises(UsageError, match="at least 1, got 0"):
        select(table, ["a"], 0)
    with pytest.raises(UsageError, match="error, all, repeat, patches; got 'never'"):
        select(table, ["a"], 5, on_short="never")


def test_a_strategy_of_ones_own_can_be_given() -> None:
    made = select(patch_table([12]), ["a"], 5, order=STRATEGIES["typicality"])
    assert made.order == "custom"
    np.testing.assert_array_equal(made.row, select(patch_table([12]), ["a"], 5, order="typicality").row)


def without_features(table: PatchTable, rank: int) -> PatchTable:
    """Further patches of the table's images, in another order."""
    turned = table.take(np.arange(len(table))[::-1])
    ranks = np.full(len(table), rank, dtype=np.int32)
    return replace(turned, patch_rank=ranks, features=np.zeros((len(table), 0), np.float16))


def test_further_patches_come_behind_the_order_as_they_come_and_only_where_asked_for() -> None:
    table = patch_table([12, 5])
    further = without_features(table.take(table.class_id == 1), 1)
    made = select(table, NAMES[:2], 9, on_short="patches", further=further)
    assert picks(made, 0) == picks(select(table, NAMES[:2], 9, on_short="all"), 0)
    assert picks(made, 1)[:5] == picks(select(table, NAMES[:2], 5), 1)
    assert picks(made, 1)[5:] == [17, 18, 19, 20]
    behind = made.class_id == 1, made.rank >= 5
    assert made.cluster_label[behind[0] & behind[1]].tolist() == [-1] * 4
    assert made.class_rows[1].tolist() == [12, 13, 14, 15, 16, 17, 18, 19, 20, 21]
    assert len(select(table, NAMES[:2], 9, on_short="all", further=further)) == 9 + 5


def test_too_few_even_with_further_patches_are_refused_with_their_number() -> None:
    table = patch_table([12, 5])
    further = without_features(table.take(table.class_id == 1), 1)
    with pytest.raises(UsageError, match=r"further patches of the same images included\): trouser \(10\)") as refused:
        select(table, NAMES[:2], 11, on_short="patches", further=further)
    assert "--on-short patches" not in str(refused.value)
