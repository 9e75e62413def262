"""The order of draws: agreement as it is defined, greedy choice, exchanges, and prefixes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from selector.calibration.order import Agreements, chosen_order, judged

DRAWS, IMAGES, WINDOWS = 16, 60, 25


def images(seed: int, noise: NDArray[np.float64]) -> list[NDArray[np.float32]]:
    """Windows of draws that see one truth an image under more or less noise; noise: [DRAWS]."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(IMAGES, 1, WINDOWS))
    seen = truth + noise[:, None] * rng.normal(size=(IMAGES, DRAWS, WINDOWS)) + rng.normal(size=(IMAGES, DRAWS, 1))
    return list(seen.astype(np.float32))


NOISE = np.linspace(3, 0.5, DRAWS)
FOUND = images(0, NOISE)


@pytest.mark.parametrize("draws", [[3], [0, 15], [5, 2, 9], list(range(DRAWS))])
def test_agreement_is_the_correlation_of_the_means_over_windows(draws: list[int]) -> None:
    agreement = Agreements.of(FOUND).agreement(draws)
    for windows, value in zip(FOUND, agreement, strict=True):
        assert value == pytest.approx(np.corrcoef(windows[draws].mean(0), windows.mean(0))[0, 1], abs=1e-6)


def test_with_each_is_agreement_with_one_more() -> None:
    agreements = Agreements.of(FOUND)
    found = agreements.with_each([4, 7])
    assert found[9] == pytest.approx(agreements.agreement([4, 7, 9]).mean())
    assert found[4] == found[7] == -np.inf


def test_draws_that_see_more_come_first() -> None:
    order = chosen_order(Agreements.of(FOUND))
    assert sorted(order) == list(range(DRAWS))
    assert np.mean([NOISE[draw] for draw in order[:4]]) < 1.2 < np.mean([NOISE[draw] for draw in order[-4:]])


def test_no_exchange_of_one_of_the_first_two_would_agree_better() -> None:
    agreements = Agreements.of(FOUND)
    order = chosen_order(agreements)
    own = agreements.agreement(order[:2]).mean()
    assert own >= agreements.with_each(order[:1]).max() - 1e-9
    assert own >= np.delete(agreements.with_each(order[1:2]), order[0]).max() - 1e-9


def test_a_flat_image_says_nothing_and_flat_images_alone_are_refused() -> None:
    flat = np.ones((DRAWS, WINDOWS), np.float32)
    assert len(Agreements.of([*FOUND, flat]).shares) == IMAGES
    with pytest.raises(ValueError, match="no image in which"):
        Agreements.of([flat])


def test_held_out_images_judge_the_order_and_the_least_number_of_draws_is_taken() -> None:
    found = judged(FOUND, 0.9, "null")
    assert (found.chosen_on, found.held_out) == (40, 20)
    assert [step.draws for step in found.steps] == list(range(1, DRAWS + 1))
    assert found.steps[found.enough - 1].agreement >= 0.9 > found.steps[found.enough - 2].agreement
    assert found.steps[1].agreement > found.steps[1].bank_order
    assert found.steps[-1].agreement == found.steps[-1].bank_order == 1


def test_an_order_that_is_given_stands_and_all_images_judge_it() -> None:
    found = judged(FOUND, 0.9, "null", tuple(range(DRAWS)))
    assert found.order == tuple(range(DRAWS))
    assert (found.chosen_on, found.held_out) == (0, IMAGES)
    assert [step.agreement for step in found.steps] == [step.bank_order for step in found.steps]


def test_where_nothing_is_enough_all_draws_are_taken() -> None:
    assert judged(FOUND, 1.0, "null").enough == DRAWS
