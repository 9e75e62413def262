"""Further patches of images that were scored for fewer."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image

from selector.images.canvas import fit
from selector.images.datasets import list_items
from selector.images.originals import originals
from selector.images.readers import image_id
from selector.localisation.centring import placement
from selector.localisation.scales import scored_grids
from selector.localisation.windows import box_means, brightness_z, choose_among, window_grid
from selector.records import PatchTable
from selector.scoring.further_patches import further_patches, with_further
from selector.store.schema import IMAGE_SCHEMA, PATCH_SCHEMA
from selector.store.store import Store
from selector.store.view import StoreView, view_store
from tests.selector.localisation.plain_choice import best_windows

SIDE, WINDOW, STRIDE = 32, 12, 4
CLASSES = ("bag", "coat")
SIZES = {"bag/a.png": (32, 32), "bag/b.png": (64, 40), "coat/c.png": (20, 48)}


def maps_of(source: str) -> NDArray[np.float16]:
    return np.random.default_rng([*source.encode()]).normal(size=(8, 8)).astype(np.float16)


def pixels_of(source: str) -> NDArray[np.uint8]:
    """Noise, black at one edge, so that what stands out is not in the middle of a window."""
    noise = np.random.default_rng([1, *source.encode()]).integers(0, 256, (*SIZES[source], 3))
    return (noise * np.linspace(0, 1, SIZES[source][1])[:, None]).astype(np.uint8)


def make(
    folder: Path,
    *,
    rule: str = "null",
    fit_mode: str = "crop",
    centring: str = "none",
    scales: tuple[int, ...] = (),
) -> StoreView:
    """A store of three images with the one best window of each, and its view."""
    rows: list[dict[str, Any]] = []
    for source in SIZES:
        path = folder / "data" / source
        path.parent.mkdir(parents=True, exist_ok=True)
        file = io.BytesIO()
        Image.fromarray(pixels_of(source)).save(file, format="PNG")
        path.write_bytes(file.getvalue())
        canvas, mapping = fit(pixels_of(source), SIDE, fit_mode)
        place, delta = placement(centring, canvas, mapping.valid), maps_of(source).astype(np.float32)
        if scales:
            (best,) = choose_among(scored_grids(delta, canvas, scales, STRIDE, mapping.valid, 3.0), 1, place=place)
        else:
            (best,) = best_windows(delta, SIDE, WINDOW, STRIDE, 1, mapping.valid, place=place)
        original, ok = mapping.to_original(best.box), {"status": "ok", "reason": "", "draws": 4}
        known = {
            "image_id": image_id(file.getvalue()),
            "source": source,
            "class_id": CLASSES.index(source.split("/")[0]),
        }
        scores = {"typicality": best.typicality, "standard_error": 0.1}
        rows.append(known | ok | scores | vars(original) | {"canvas": best.box, "patch_rank": 0})
    mark = {
        "draws": 4,
        "timestep_weights": [1.0, 1.0, 2.0, 2.0],
        "classes": list(CLASSES),
        "resolution": SIDE,
        "window_px": WINDOW,
        "stride_px": STRIDE,
        "fit": fit_mode,
        "rule": rule,
        "prior_weight": 3.0,
        **({"centring": centring} if centring != "none" else {}),
        **({"scales": list(scales)} if scales else {}),
    }
    store = Store.create_or_open(folder / "store", mark)
    store.write_data_root(folder / "data", {name: number for number, name in enumerate(CLASSES)})
    maps = np.stack([maps_of(row["source"]) for row in rows])
    store.commit_images(0, pa.Table.from_pylist([_record(row, 4) for row in rows], IMAGE_SCHEMA), maps)
    patches = [{name: row[name] for name in PATCH_SCHEMA.names} for row in rows]
    store.commit_patches(0, pa.Table.from_pylist(patches, PATCH_SCHEMA), np.eye(3, 5, dtype=np.float16))
    return view_store(store.path, list_items(folder / "data"))


def _record(row: dict[str, Any], draws: int) -> dict[str, Any]:
    edges = ("top", "left", "height", "width")
    windows = {f"window_{edge}": [row[edge]] for edge in edges}
    windows |= {f"window_canvas_{edge}": [getattr(row["canvas"], edge)] for edge in edges}
    lists: dict[str, list[float]] = {column.name: [] for column in IMAGE_SCHEMA if pa.types.is_list(column.type)}
    lists |= {"typicality": [row["typicality"]], "standard_error": [0.1]}
    kept = {name: row[name] for name in ("image_id", "source", "class_id", "status", "reason")}
    return lists | kept | windows | {"draws": draws, "height": 1, "width": 1, "size": 1, "mtime_ns": 1}


def found(view: StoreView, class_ids: tuple[int, ...] = (0, 1)) -> PatchTable:
    with originals(list_items(view.store.parent / "data"), view.scored) as images:
        return further_patches(view, images, class_ids)


def boxes_of(table: PatchTable, source: str) -> list[tuple[int, int, int, int]]:
    rows = np.flatnonzero(np.asarray(table.source.tolist()) == source)
    return [tuple(int(getattr(table, edge)[row]) for edge in ("top", "left", "height", "width")) for row in rows]


@pytest.mark.parametrize("centring", ["none", "contrast"])
@pytest.mark.parametrize("fit_mode", ["crop", "pad"])
def test_they_are_the_windows_that_scoring_for_more_would_have_stored(
    tmp_path: Path, fit_mode: str, centring: str
) -> None:
    table = found(make(tmp_path, fit_mode=fit_mode, centring=centring))
    moved = 0
    for source in SIZES:
        canvas, mapping = fit(pixels_of(source), SIDE, fit_mode)
        delta = maps_of(source).astype(np.float32)
        place = placement(centring, canvas, mapping.valid)
        _, *more = best_windows(delta, SIDE, WINDOW, STRIDE, 17, mapping.valid, place=place)
        assert more
        grid = window_grid(SIDE, WINDOW, STRIDE, mapping.valid)
        moved += sum(w.box.top not in grid.tops or w.box.left not in grid.lefts for w in more)
        assert boxes_of(table, source) == [tuple(vars(mapping.to_original(window.box)).values()) for window in more]
        mine = table.take(table.source == source)
        np.testing.assert_array_equal(mine.typicality, [box_means(delta, window.box, SIDE) for window in more])
        assert mine.patch_rank.tolist() == list(range(1, len(more) + 1))
        assert np.isnan(mine.standard_error).all()
    assert (moved > 0) == (centring == "contrast")


@pytest.mark.parametrize("fit_mode", ["crop", "pad"])
def test_of_several_sizes_they_are_the_windows_that_scoring_for_more_would_have_stored(
    tmp_path: Path, fit_mode: str
) -> None:
    table = found(make(tmp_path, rule="rotating-brightness", fit_mode=fit_mode, centring="contrast", scales=(8, 12)))
    sides = set()
    for source in SIZES:
        canvas, mapping = fit(pixels_of(source), SIDE, fit_mode)
        delta = maps_of(source).astype(np.float32)
        grids = scored_grids(delta, canvas, (8, 12), STRIDE, mapping.valid, 3.0)
        _, *more = choose_among(grids, 17, place=placement("contrast", canvas, mapping.valid))
        assert boxes_of(table, source) == [tuple(vars(mapping.to_original(window.box)).values()) for window in more]
        sides |= {window.box.height for window in more}
    assert sides == {8, 12}


def test_a_rule_with_a_prior_keeps_it(tmp_path: Path) -> None:
    table = found(make(tmp_path, rule="rotating-brightness"))
    plain = found(make(tmp_path / "plain"))
    source = "bag/a.png"
    canvas, mapping = fit(pixels_of(source), SIDE, "crop")
    grid = window_grid(SIDE, WINDOW, STRIDE, mapping.valid)
    delta = maps_of(source).astype(np.float32)
    taken = best_windows(delta, SIDE, WINDOW, STRIDE, 1)[0].box
    places = [[grid.box(row, column) for column in range(grid.shape[1])] for row in range(grid.shape[0])]
    means = np.asarray([[box_means(delta, box, SIDE) for box in line] for line in places])
    scores = (means - means.mean()) / means.std() + 3.0 * brightness_z(canvas, grid)
    apart = {
        (row, column): scores[row, column]
        for row in range(grid.shape[0])
        for column in range(grid.shape[1])
        if abs(grid.tops[row] - taken.top) >= WINDOW or abs(grid.lefts[column] - taken.left) >= WINDOW
    }
    row, column = max(apart, key=apart.__getitem__)
    assert boxes_of(table, source)[0] == (grid.tops[row], grid.lefts[column], WINDOW, WINDOW)
    assert boxes_of(table, source) != boxes_of(plain, source)


def test_all_second_patches_come_before_any_third_and_typical_ones_first(tmp_path: Path) -> None:
    table = found(make(tmp_path))
    order = list(zip(table.class_id, table.patch_rank, -table.typicality, strict=True))
    assert order == sorted(order)
    assert {"bag/a.png", "bag/b.png"} == set(table.source[(table.class_id == 0) & (table.patch_rank == 1)])


def test_only_classes_that_are_asked_for_are_looked_at(tmp_path: Path) -> None:
    view = make(tmp_path)
    assert set(found(view, (1,)).source) == {"coat/c.png"}
    assert len(found(view, ())) == 0


def test_both_tables_together_keep_their_rows_and_have_no_features(tmp_path: Path) -> None:
    view = make(tmp_path)
    further = found(view)
    both = with_further(view.patches, further)
    assert len(both) == len(view.patches) + len(further)
    np.testing.assert_array_equal(both.take(np.arange(3)).image_id, view.patches.image_id)
    np.testing.assert_array_equal(both.take(np.arange(3, len(both))).top, further.top)
    assert np.asarray(both.features).shape == (len(both), 0)
