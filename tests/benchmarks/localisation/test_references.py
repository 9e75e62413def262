"""Which references are least similar, and that only draws with them are used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.localisation.references import DrawMaps, allowed, dissimilarity, hits, table
from selector.images.canvas import fit
from selector.images.prepare import OK, Prepared
from selector.localisation.typicality import rule
from selector.records import Box
from tests.selector.scoring.test_reduction import GRID

CLASSES, PER_CLASS, DRAWS = 4, 4, 12
SETTINGS = replace(
    GRID,
    windows=replace(GRID.windows, rule=rule("rotating")),
    classes=CLASSES,
    weights=np.ones(DRAWS, np.float32),
    patches_per_image=1,
)
TRUE = Box(0, 0, 12, 12)


@pytest.fixture(scope="module")
def maps() -> DrawMaps:
    """The item lies at the top left; the reference one above the class, cyclically, is misled to the bottom right."""
    canvas, mapping = fit(np.zeros((32, 32, 3), np.uint8), 32)
    class_id = np.repeat(np.arange(CLASSES), PER_CLASS)
    images = tuple(Prepared(f"{i}.png", f"{i:016x}", OK, "", 32, 32, canvas, mapping) for i in range(len(class_id)))
    deltas = np.zeros((len(images), 2, DRAWS, 8, 8), np.float32)
    for number, own in enumerate(class_id):
        for draw, prompt in enumerate(SETTINGS.rule.references(int(own), CLASSES, DRAWS)):
            misled = prompt - 1 == (own + 1) % CLASSES
            deltas[number, :, draw, -3:, -3:] = 0.5 if misled else 0
            deltas[number, :, draw, :3, :3] = 0 if misled else 1
    return DrawMaps(SETTINGS, images, class_id, deltas)


def test_classes_are_as_alike_as_their_deltas_are_small(maps: DrawMaps) -> None:
    references = np.stack([SETTINGS.rule.references(int(c), CLASSES, DRAWS) - 1 for c in maps.class_id]).astype(
        np.int64
    )
    found = dissimilarity(maps.class_id, references, maps.deltas, CLASSES)
    assert np.isneginf(np.diag(found)).all()
    assert found[0, 1] == pytest.approx(9 * 0.25 / 64)
    assert found[0, 2] == found[0, 3] == pytest.approx(9 / 64)
    usable = allowed(found, 2)
    assert usable[0].tolist() == [False, False, True, True]
    assert usable[3].tolist() == [False, True, True, False]
    assert allowed(found, 9).sum(axis=1).tolist() == [3] * 4, "never the class itself"


def test_draws_with_misleading_references_are_left_out(maps: DrawMaps) -> None:
    boxes = [TRUE] * len(maps.images)
    assert hits(maps, boxes, 3, 1).mean() < 1, "the first draw of a class may be misled"
    assert hits(maps, boxes, 2, 1).mean() == 1
    assert hits(maps, boxes, 2, 9).size == 0, "only eight of twelve draws have these references"


def test_the_table_pairs_every_number_of_references_with_all_of_them(
    maps: DrawMaps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.localisation.references.FEWEST", 2)
    rows = table(maps, [TRUE] * len(maps.images), (4, 12)).splitlines()
    assert rows[0] == "| References | 8 rows | 24 rows |"
    assert rows[2] == "| all 3 | 1.000 | 1.000 |"
    assert rows[3] == "| the 2 least similar | 1.000 (+0.000 ± 0.000) |  |"
