"""The rule of --choose on made-up numbers: a clear lead, a tie, a clear loss, a lead that another takes over."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from selector.config import TAKE, ExportConfig
from selector.evaluation.baselines import Judges
from selector.evaluation.methods import methods
from selector.evaluation.verdicts import CANDIDATES, decide
from selector.selection.ordering import DEFAULT_ORDER
from selector.selection.strategies import STRATEGIES

POOLS = np.array([50.0, 52.0, 49.0, 51.0])
LITTLE = np.array([0.5, -0.4, 0.3, -0.2])
OURS, WHOLE, WINDOWS, IMAGES = "herding", "herding+whole", "window-random", "random-image"


def accuracies(**gaps: float) -> dict[str, NDArray[np.float64]]:
    """Of each method the default's accuracy plus its gap and a little noise of its own."""
    names = {"whole": WHOLE, "windows": WINDOWS, "images": IMAGES}
    noise = (np.roll(LITTLE, turn) for turn in range(len(names)))
    return {OURS: POOLS} | {
        name: POOLS + gaps.get(short, 0.0) + own for (short, name), own in zip(names.items(), noise, strict=True)
    }


def test_the_candidates_are_methods_and_options_that_there_are_and_the_default_is_the_first() -> None:
    assert {candidate.method for candidate in CANDIDATES} <= set(methods(Judges(28)))
    assert {candidate.take for candidate in CANDIDATES} == set(TAKE)
    assert {candidate.order for candidate in CANDIDATES} <= set(STRATEGIES)
    assert (CANDIDATES[0].take, CANDIDATES[0].order) == (ExportConfig.take, DEFAULT_ORDER)
    assert [candidate.changes for candidate in CANDIDATES] == [0, 1, 1, 2]


def test_a_clear_lead_of_whole_images_is_taken() -> None:
    verdict = decide(accuracies(whole=9.0, windows=-5.0, images=2.0))
    assert verdict.chosen.options == "--take image --order herding"
    assert verdict.words == "use --take image --order herding"
    assert verdict.comparisons[0].words.endswith(", ahead")
    assert [comparison.stood.method for comparison in verdict.comparisons] == [OURS, WHOLE, WHOLE]


def test_where_nothing_is_told_the_default_stays_and_the_words_say_that_nothing_is_told() -> None:
    verdict = decide(accuracies())
    assert verdict.chosen == CANDIDATES[0]
    assert verdict.words.startswith("nothing is told to be ahead; the default stays")
    assert all(comparison.words.endswith("no difference told") for comparison in verdict.comparisons)


def test_where_all_others_lose_clearly_the_words_say_that_the_default_is_ahead() -> None:
    verdict = decide(accuracies(whole=-8.0, windows=-7.0, images=-9.0))
    assert verdict.words == "the default is ahead of all others: --take patch --order herding"
    assert all(comparison.words.endswith("behind") for comparison in verdict.comparisons)


def test_a_lead_whose_interval_holds_0_changes_nothing() -> None:
    found = accuracies(windows=-5.0, images=-5.0) | {WHOLE: POOLS + np.array([9.0, -3.0, 8.0, -2.0])}
    assert decide(found).chosen == CANDIDATES[0]


@pytest.mark.parametrize(("images", "taken"), [(9.0, WHOLE), (16.0, IMAGES)])
def test_random_images_take_over_only_if_they_are_told_from_whole_images_in_the_default_order(
    images: float, taken: str
) -> None:
    assert decide(accuracies(whole=9.0, images=images)).chosen.method == taken


def test_the_record_has_the_numbers_of_the_words() -> None:
    record = decide(accuracies(whole=9.0)).record()
    first = record["comparisons"][0]
    assert (record["take"], record["order"], record["is_default"]) == ("image", "herding", False)
    assert (first["method"], first["against"], first["n"]) == (WHOLE, OURS, 4)
    assert f"{first['mean']:+.1f} points [{first['t_low']:.1f}, {first['t_high']:.1f}]" in first["words"]
