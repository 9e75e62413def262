"""The table of assigned classes against true ones, on scenes that are counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.localisation.unlabelled import HEAD, Truth, table_row
from benchmarks.scenes.scenes import Scenes
from selector.records import Box

EDGES = {"top": 10, "left": 10, "height": 28, "width": 28}


def truth() -> Truth:
    """Ten scenes of two classes in turn, each with its item at 10, 10."""
    ones = np.ones(10, np.int64)
    images = np.zeros((10, 64, 64), np.uint8)
    return Truth.of(Scenes(images, np.arange(10) % 2, 10 * ones, 10 * ones, np.zeros(10, bool), 28 * ones))


def image(source: str, class_id: int, margin: float | None, top: int = 10, status: str = "ok") -> dict[str, Any]:
    box = {f"window_{name}": [value] if status == "ok" else [] for name, value in (EDGES | {"top": top}).items()}
    rows = None if margin is None else 20
    return (
        {"source": source, "class_id": class_id, "status": status, "assigned_margin": margin}
        | box
        | {"assigned_unet_rows": rows}
    )


def test_scenes_have_the_names_that_their_tar_gives_them() -> None:
    found = truth()
    assert list(found.class_id.items())[:3] == [
        ("t-shirt/00000.png", 0),
        ("trouser/00000.png", 1),
        ("t-shirt/00001.png", 0),
    ]
    assert found.box["trouser/00004.png"] == Box(10, 10, 28, 28)


def test_a_row_counts_right_classes_of_all_and_of_the_surer_ones_and_points_only_with_what_is_used() -> None:
    """Two of ten are wrong, one of them among the least sure; one image is filtered, one of nine windows is astray."""
    found = truth()
    images = [
        image(source, class_id if number not in (0, 5) else 7, number + 1.0, top=40 if number == 9 else 10)
        for number, (source, class_id) in enumerate(found.class_id.items())
    ]
    images[1] = image(images[1]["source"], images[1]["class_id"], 2.0, status="filtered")
    picks = [{"source": one["source"], "class_id": one["class_id"], **EDGES} for one in images[5:9]]
    cells = [cell.split(" [")[0].strip() for cell in table_row("2 draws", images, picks, found).strip("|").split("|")]
    assert cells == ["2 draws", "20.0", "0.800", "0.875", "0.889", "0.750", "1.000"]
    assert HEAD.splitlines()[0].count("|") == len(cells) + 1


def test_a_row_of_true_labels_has_no_margin_to_speak_of() -> None:
    found = truth()
    images = [image(source, class_id, None) for source, class_id in found.class_id.items()]
    row = table_row("true labels", images, [{**images[0], **EDGES}], found)
    assert row.startswith("| true labels | — | — | — | 1.000 [1.000, 1.000] |")
