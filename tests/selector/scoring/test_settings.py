"""What settings take from the repository and what from the command, and what of it is in the store's fingerprint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selector.config import ScoreConfig
from selector.errors import UsageError
from selector.scoring.assignment import AssignmentBudget
from selector.scoring.settings import fingerprint, settings_of
from selector.store.fingerprint import is_unlabelled
from tests.toy_repository import IDENTITY

CENTRED = replace(IDENTITY, centring="contrast")


def config(**changes: Any) -> ScoreConfig:
    return ScoreConfig(Path(), Path(), Path(), draws=4, **changes)


@pytest.mark.parametrize(
    ("identity", "asked", "centring"),
    [
        (IDENTITY, None, "none"),
        (IDENTITY, "contrast", "contrast"),
        (CENTRED, None, "contrast"),
        (CENTRED, "none", "none"),
    ],
)
def test_centring_is_the_repositorys_own_unless_asked_for_and_no_field_where_there_is_none(
    identity: Any, asked: str | None, centring: str
) -> None:
    settings = settings_of(identity, config(centring=asked))
    assert settings.windows.centring == centring
    assert fingerprint(identity, settings).get("centring", "none") == centring
    assert ("centring" in fingerprint(identity, settings)) == (centring == "contrast"), (
        "older stores have no such field"
    )


def test_a_repository_that_asks_for_an_unknown_centring_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'sharp'.*none, contrast"):
        settings_of(replace(IDENTITY, centring="sharp"), config())


def test_names_of_classes_are_a_field_only_where_they_are_not_the_ids() -> None:
    named = replace(IDENTITY, class_names=("round", "edgy", "edgy"))
    assert fingerprint(named, settings_of(named, config()))["class_names"] == ["round", "edgy", "edgy"]
    assert "class_names" not in fingerprint(IDENTITY, settings_of(IDENTITY, config())), (
        "older stores have no such field"
    )


def test_the_fingerprint_of_a_plain_plan_has_the_fields_it_always_had() -> None:
    """A field more, and every store from before it would be refused."""
    assert set(fingerprint(IDENTITY, settings_of(IDENTITY, config()))) == {
        *("spec_version", "pipeline", "classes", "prompts", "draws", "timesteps", "timestep_weights", "resolution"),
        *("precision", "window_fraction", "rule", "prior_weight", "dift", "bank", "window_px", "stride_px"),
        *("patches_per_image", "fit", "min_side", "decoder"),
    }


ORDERED = replace(
    IDENTITY, draw_order=(2, 0, 3, 1), auto_draws=3, timestep_weights=(1.0, 2.0, 3.0, 4.0), rule="rotating-weighted"
)


def test_draws_are_taken_in_the_repositorys_order_and_as_many_as_it_was_calibrated_to() -> None:
    settings = settings_of(ORDERED, replace(config(), draws=None))
    assert (settings.numbers, settings.draws) == ((2, 0, 3), 3)
    assert settings.weights.tolist() == [3, 1, 4]
    assert settings_of(ORDERED, config()).numbers == (2, 0, 3, 1)
    assert settings_of(IDENTITY, replace(config(), draws=None)).numbers == (0, 1, 2, 3), "12, but the bank has 4"
    with pytest.raises(UsageError, match="--draws 5 is more than the repository's bank of 4"):
        settings_of(IDENTITY, replace(config(), draws=5))


def test_only_the_banks_own_order_has_antithetic_pairs() -> None:
    assert settings_of(IDENTITY, config()).timesteps is not None
    assert settings_of(ORDERED, config()).timesteps is None


def test_the_draws_that_were_taken_are_a_field_in_a_chosen_order_alone() -> None:
    mark = fingerprint(ORDERED, settings_of(ORDERED, replace(config(), draws=2)))
    assert (mark["draws"], mark["draw_order"]) == (2, [2, 0])
    assert (mark["timesteps"], mark["timestep_weights"]) == ([500, 100], [3, 1])
    assert "draw_order" not in fingerprint(IDENTITY, settings_of(IDENTITY, config()))
    assert "auto_draws" not in mark, "how many draws others would take changes no score"


def test_several_fractions_are_windows_of_several_sizes_in_whatever_order_they_are_named() -> None:
    settings = settings_of(IDENTITY, config(patch_fraction=(0.75, 0.25, 0.5, 0.25)))
    assert (settings.windows.sides, settings.windows.middle_px) == ((4, 8, 12), 8), (
        "of 16 px; the middle one stands for them"
    )
    assert fingerprint(IDENTITY, settings)["scales"] == [4, 8, 12]
    same = settings_of(IDENTITY, config(patch_fraction=(0.25, 0.5, 0.75)))
    assert fingerprint(IDENTITY, same) == fingerprint(IDENTITY, settings)


@pytest.mark.parametrize("fractions", [(0.5,), (0.5, 0.51), None])
def test_one_size_is_no_field_of_the_fingerprint(fractions: tuple[float, ...] | None) -> None:
    settings = settings_of(IDENTITY, config(patch_fraction=fractions))
    assert settings.windows.sides == (8,)
    assert "scales" not in fingerprint(IDENTITY, settings)


def test_without_labels_the_draws_come_from_the_end_of_the_order_as_far_as_the_bank_goes() -> None:
    """The first ones may be made for pointing."""
    settings = settings_of(IDENTITY, config(unlabelled=True))
    assert settings.assignment == AssignmentBudget(4, (3, 2, 1, 0))
    mark = fingerprint(IDENTITY, settings)
    assert (mark["assign_draws"], mark["assign_most"], mark["assign_order"]) == (4, 4, [3, 2, 1, 0])
    assert is_unlabelled(mark)
    assert not is_unlabelled(fingerprint(IDENTITY, settings_of(IDENTITY, config())))
    turned = replace(IDENTITY, draw_order=(2, 0, 3, 1))
    asked = settings_of(turned, config(unlabelled=True, assign_draws=1, assign_most=2))
    assert asked.assignment == AssignmentBudget(1, (1, 3))
    large = replace(IDENTITY, draws=64, timesteps=(1,) * 64, timestep_weights=(1.0,) * 64)
    assert settings_of(large, config(unlabelled=True)).assignment == AssignmentBudget(4, tuple(range(63, 31, -1)))
    few = settings_of(large, config(unlabelled=True, assign_most=2)).assignment
    assert few == AssignmentBudget(2, (63, 62)), "fewer in all are fewer at first"
    many = settings_of(large, config(unlabelled=True, assign_draws=40)).assignment
    assert many == AssignmentBudget(40, tuple(range(63, 23, -1)))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"assign_draws": 5}, "--assign-draws 5 is more than the repository's bank of 4 draws"),
        ({"assign_most": 5}, "--assign-most 5 is more than the repository's bank of 4 draws"),
        ({"assign_draws": 3, "assign_most": 2}, "--assign-most 2 is less than --assign-draws 3: all classes get those"),
    ],
)
def test_a_budget_that_the_bank_has_not_is_refused(asked: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settings_of(IDENTITY, config(unlabelled=True, **asked))
