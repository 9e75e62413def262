"""The rule of --choose on made-up numbers: a clear lead, a tie, a clear loss, and what each question may change."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from selector.config import TAKE
from selector.evaluation.baselines import Judges
from selector.evaluation.methods import methods
from selector.evaluation.verdicts import DEFAULT, METHODS, Choice, decide
from selector.selection.ordering import DEFAULT_ORDER
from selector.selection.strategies import STRATEGIES

POOLS = np.array([50.0, 52.0, 49.0, 51.0])
LITTLE = np.array([0.5, -0.4, 0.3, -0.2])


def accuracies(
    patch: float = 0, image: float = 0, patch_random: float = 0, image_random: float = 0
) -> dict[str, NDArray]:
    """Of each method the pools' accuracy plus its own gap and a little noise."""
    gaps = {("patch", 0): patch, ("image", 0): image, ("patch", 1): patch_random, ("image", 1): image_random}
    orders = (DEFAULT_ORDER, "random")
    return {
        METHODS[Choice(take, orders[at])]: POOLS + gap + np.roll(LITTLE, turn)
        for turn, ((take, at), gap) in enumerate(gaps.items())
    }


def test_the_methods_are_those_of_every_take_in_the_default_order_and_at_random() -> None:
    assert set(METHODS) == {Choice(*pair) for pair in product(TAKE, (DEFAULT_ORDER, "random"))}
    assert set(METHODS.values()) <= set(methods(Judges(28)))
    assert {choice.order for choice in METHODS} <= set(STRATEGIES)
    assert DEFAULT in METHODS


def test_a_clear_lead_of_whole_images_is_taken_and_the_order_stays_where_nothing_is_told() -> None:
    verdict = decide(accuracies(image=9.0, image_random=9.1))
    assert verdict.words == "use --take image --order herding"
    assert [comparison.told for comparison in verdict.comparisons] == ["ahead", "no difference told", "ahead"]
    assert verdict.comparisons[0].words.startswith("whole images against patches, both orders together: +9.")


def test_where_nothing_is_told_the_default_stays_and_the_words_say_so() -> None:
    verdict = decide(accuracies())
    assert verdict.choice == DEFAULT
    assert verdict.words.startswith("nothing is told to be ahead of the default, which stays")
    assert all(comparison.words.endswith("no difference told") for comparison in verdict.comparisons)


def test_a_clear_loss_of_all_others_is_a_lead_of_the_default() -> None:
    verdict = decide(accuracies(image=-8.0, image_random=-9.0, patch_random=-7.0))
    assert verdict.words == "the default is ahead: --take patch --order herding"
    assert [comparison.told for comparison in verdict.comparisons] == ["behind", "behind"]


def test_a_lead_whose_interval_holds_0_changes_nothing() -> None:
    uneven = np.array([9.0, -3.0, 8.0, -2.0])
    found = accuracies()
    found |= {name: values + uneven for name, values in found.items() if name in ("herding+whole", "random-image")}
    assert decide(found).choice == DEFAULT


def test_a_random_order_is_taken_only_if_it_is_ahead_within_the_take() -> None:
    assert decide(accuracies(patch_random=6.0)).choice == Choice("patch", "random")
    assert decide(accuracies(image=9.0, image_random=16.0)).choice == Choice("image", "random")
    assert decide(accuracies(image=9.0, image_random=9.0, patch_random=6.0)).choice == Choice("image", "herding")


def test_the_default_is_not_left_for_what_it_is_ahead_of() -> None:
    """Whole images lead over both orders together, because random patches are bad; patches in the default order are best."""
    verdict = decide(accuracies(patch=10.0, image=5.0, image_random=5.0, patch_random=-10.0))
    assert verdict.choice == DEFAULT
    assert [comparison.told for comparison in verdict.comparisons] == ["ahead", "no difference told", "behind"]


def test_the_record_has_the_numbers_of_the_words() -> None:
    record = decide(accuracies(image=9.0, image_random=9.0)).record()
    first = record["comparisons"][0]
    assert (record["take"], record["order"], record["is_default"]) == ("image", "herding", False)
    assert (first["told"], first["n"]) == ("ahead", 4)
    assert f"{first['mean']:+.1f} points [{first['t_low']:.1f}, {first['t_high']:.1f}]" in first["words"]
