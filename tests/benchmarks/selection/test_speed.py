"""The measurement of selection at size, here small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.selection.speed import _extrapolated, main
from benchmarks.selection.synthetic_store import synthetic_class, write_synthetic_store
from selector.selection import class_orders


def test_the_measurement_prints_its_numbers_and_finds_the_picks_deterministic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_orders, "_WORTH_PROCESSES", 0)
    done = CliRunner().invoke(
        main,
        ["--classes", "4", "--patches", "200", "--width", "32", "--folder", str(tmp_path)],
        catch_exceptions=False,
    )
    found = json.loads(done.stdout)
    for same in ("when_permuted", "with_two_threads", "with_several_processes"):
        assert found[f"same_{same}"] is True
    assert found["further_is_nested"] is True
    assert found["classes_on_disk"] == found["classes_timed"] == 4
    assert found["peak_memory_of_a_worker_mib"] > 50
    assert 0 < found["first_processor_seconds_of_1"] < found["first_processor_seconds_for_1000_classes"]
    assert found["further_seconds_for_1000_classes"] == pytest.approx(250 * found["further_seconds_of_4"], abs=0.01)
    assert list(tmp_path.iterdir()) == []


def test_a_thousand_classes_are_extrapolated_along_the_line_through_two_points() -> None:
    start, each = 3.0, 0.05
    assert _extrapolated(start + 10 * each, start + 40 * each, 10, 40) == pytest.approx(start + 1000 * each)
    assert _extrapolated(20.0, 53.0, 250, 1000) == 53.0


def test_a_store_of_synthetic_classes_holds_them_in_shards_across_their_borders(tmp_path: Path) -> None:
    store = write_synthetic_store(tmp_path, 3, 50, 8, shard_size=32)
    assert store.patch_shards() == set(range(5))
    table = store.read_patches()
    assert np.bincount(table.class_id).tolist() == [50, 50, 50]
    own = synthetic_class(50, 8, 1)
    own = own.take(np.argsort(own.image_id))
    np.testing.assert_array_equal(np.asarray(table.features[table.class_id == 1]), own.features)
    assert table.image_id[table.class_id == 1].tolist() == own.image_id.tolist()
