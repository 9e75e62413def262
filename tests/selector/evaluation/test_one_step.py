"""The measurement of further selections from one store."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from selector.evaluation.one_step import main
from tests.evaluation_data import write_data, write_store


def test_every_budget_is_timed_and_picks_nest(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", write_data(tmp_path / "data.tar", 12, seed=1))
    done = CliRunner().invoke(main, ["--store", str(store), "--ipc", "9,1,4"], catch_exceptions=False)
    found = json.loads(done.stdout)
    assert list(found["selection_seconds_by_ipc"]) == ["1", "4", "9"]
    assert found["nested"] is True
    assert found["images"] == 36
