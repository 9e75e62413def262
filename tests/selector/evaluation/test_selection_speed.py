"""The measurement of selection at size, here small."""

from __future__ import annotations

import json

from click.testing import CliRunner

from selector.evaluation.selection_speed import main


def test_the_measurement_prints_its_numbers_and_finds_the_picks_deterministic() -> None:
    done = CliRunner().invoke(main, ["--classes", "2", "--patches", "200", "--width", "32"], catch_exceptions=False)
    found = json.loads(done.stdout)
    assert found["same_when_permuted"]
    assert found["same_with_two_threads"]
    assert found["seconds_for_1000_classes"] > 0
    assert found["classes_timed"] == 2
