"""The tables and the figure of the frontier, from measurements made by hand."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np

from benchmarks.localisation.frontier import figure, tables
from benchmarks.localisation.pointing import Localisation
from benchmarks.localisation.quality import Measured

DECOYS = np.arange(8) % 2 == 1


def measured(rule: str, rows: int, hits: int) -> Measured:
    """The first `hits` of eight scenes are found."""
    return Measured(rule, rows, Localisation(np.arange(8) < hits, np.zeros(8), DECOYS))


FOUND = [measured("brightest window", 0, 8), measured("null", 2, 0), measured("null", 4, 4), measured("rotating", 4, 8)]


def test_rules_are_rows_and_numbers_of_unet_rows_columns_with_intervals() -> None:
    text = tables({"seed 1": FOUND})
    everywhere, decoys = text.split("Pointing, seed 1, scenes with a decoy:")
    assert "| Rule | 2 rows | 4 rows |" in everywhere
    assert "| brightest window | 1.000 [1.000, 1.000] | 1.000 [1.000, 1.000] |" in everywhere, (
        "it costs nothing anywhere"
    )
    (null,) = [line for line in everywhere.splitlines() if line.startswith("| null")]
    assert null.startswith("| null | .000 [.000, .000] | .500 [")
    assert "| rotating |  | 1.000 [1.000, 1.000] |" in decoys


def test_several_pipelines_stand_one_after_the_other() -> None:
    text = tables({"seed 1": FOUND, "seed 2": FOUND[1:]})
    assert text.index("seed 1, all scenes") < text.index("seed 2, all scenes")
    assert text.count("| brightest window") == 2


def test_the_figure_is_well_formed_and_has_a_line_for_every_rule_that_costs_rows() -> None:
    drawn = ET.fromstring(figure({"seed 1": FOUND}, "a < b"))
    labels = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a < b", "null", "rotating", "2", "4"} <= set(labels)
    assert "brightest window" not in labels
    assert figure({"seed 1": FOUND}, "a < b") == figure({"seed 1": FOUND}, "a < b")


def test_of_several_pipelines_the_null_rule_and_the_default_are_drawn() -> None:
    found = [*FOUND, measured("rotating, centred", 4, 8)]
    text = figure({"old": found, "new": found}, "both")
    assert (text.count(">null<"), text.count(">rotating, centred<"), text.count(">rotating<")) == (2, 2, 0)
    assert (text.count(">old<"), text.count(">new<")) == (2, 2)
