"""Budgets that are compared offline: on losses that are worked out by hand."""

from __future__ import annotations

import numpy as np

from benchmarks.localisation.budgets import assigned, table
from selector.scoring.assignment import AssignmentBudget

LOSSES = np.array(
    [[[3, 1, 9], [3, 1, 9], [3, 1, 9], [3, 1, 9]], [[1, 2, 9], [1, 2, 9], [5, 2, 9], [5, 2, 9]]], np.float32
)
"""Class 1 is always nearest to the first image; to the second one class 0 is by the draws 0 and 1, class 1 by all four."""


def test_an_image_stops_where_its_class_is_clear_whatever_later_draws_would_say() -> None:
    early = AssignmentBudget(2, (0, 1, 2, 3))
    assert [assigned(image, early) for image in LOSSES] == [(1, 8, 2.0), (0, 8, 1.0)]
    assert assigned(LOSSES[1], AssignmentBudget(2, (3, 0, 1, 2))) == (1, 8 + 2 * 2, 1.0), "unclear by the draws 3 and 0"
    assert assigned(LOSSES[1], AssignmentBudget(4, (0, 1, 2, 3))) == (1, 16, 1.0)


def test_the_table_has_accuracy_and_cost_of_every_budget_and_order() -> None:
    orders = {"first": (0, 1, 2, 3), "last": (3, 2, 1, 0)}
    assert table(LOSSES, np.array([1, 1]), orders, ("2:4", "4:4")).splitlines() == [
        "| Draws | first | last |",
        "|---|---|---|",
        "| 2 to 4 | 0.500 (8) | 1.000 (8) |",
        "| 4, all classes | 1.000 (16) | 1.000 (16) |",
    ]
