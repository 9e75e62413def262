"""Baselines: what each method takes of a pool, against hand-worked cases and brute force."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from selector.errors import SelectorError, UsageError
from selector.evaluation.baselines import RDED_CROPS, Judges
from selector.evaluation.methods import WHOLE, methods
from selector.evaluation.picks import Pick
from selector.evaluation.pools import Pool, pool_rows, resampled
from selector.images.datasets import list_items
from selector.store.view import view_store
from tests.evaluation_data import CLASSES, SIDE, WINDOW, write_data, write_store
from tests.patch_tables import patch_table


def brightness(class_ids: NDArray[np.int64], crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """A teacher that is the surer the brighter a crop is."""
    return crops.reshape(len(crops), -1).mean(axis=1) + 0.0 * class_ids


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    folder = tmp_path_factory.mktemp("pool")
    data = write_data(folder / "data.tar", 12, seed=3)
    view = view_store(write_store(folder / "store", data), list_items(data))
    return next(resampled(view.patches, view.class_names, list_items(data), 1, 12, seed=5))


JUDGES = Judges(28, brightness, brightness)
NAMES = sorted(methods(JUDGES))


@pytest.mark.parametrize("name", NAMES)
def test_every_method_gives_each_class_its_budget_of_different_images_inside_the_picture(pool: Pool, name: str) -> None:
    picks = methods(JUDGES)[name](pool, 5)
    labels = pool.pictures.labels[[pick.picture for pick in picks]]
    assert labels.tolist() == [c for c in range(len(CLASSES)) for _ in range(5)]
    assert len({pick.picture for pick in picks}) == 15
    for box in (pick.box for pick in picks):
        assert min(box.top, box.left) >= 0
        assert max(box.top + box.height, box.left + box.width) <= SIDE


@pytest.mark.parametrize("name", NAMES)
def test_a_smaller_budget_is_a_prefix_of_every_class(pool: Pool, name: str) -> None:
    method = methods(JUDGES)[name]
    large, small = method(pool, 6), method(pool, 2)
    assert small == [pick for number in range(len(CLASSES)) for pick in large[6 * number : 6 * number + 2]]


def test_methods_of_random_images_take_the_same_images(pool: Pool) -> None:
    by_name = methods(JUDGES)
    taken = {
        name: [pick.picture for pick in by_name[name](pool, 4)]
        for name in ("random-image", "random-patch", "centre", "brightest", "window-random", "true-boxes")
    }
    assert len(set(map(tuple, taken.values()))) == 1


def test_the_brightest_window_is_that_of_a_search_over_all_places(pool: Pool) -> None:
    for pick in methods(JUDGES)["brightest"](pool, 3):
        image = pool.pictures.images[pick.picture].astype(int)
        places = [(t, x) for t in range(SIDE - WINDOW + 1) for x in range(SIDE - WINDOW + 1)]
        sums = [image[t : t + WINDOW, x : x + WINDOW].sum() for t, x in places]
        assert (pick.box.top, pick.box.left) == places[int(np.argmax(sums))]


def test_the_centre_is_as_far_from_every_edge(pool: Pool) -> None:
    box = methods(JUDGES)["centre"](pool, 1)[0].box
    assert (box.top, box.left, box.height, box.width) == (8, 8, WINDOW, WINDOW)


def test_rded_takes_the_surest_crop_of_each_image_and_the_surest_images(pool: Pool) -> None:
    asked: list[tuple[NDArray[np.int64], NDArray[np.uint8]]] = []

    def teacher(class_ids: NDArray[np.int64], crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        asked.append((class_ids, crops))
        return brightness(class_ids, crops)

    picks = methods(Judges(WINDOW, teacher))["rded"](pool, 4)
    class_ids, crops = asked[0]
    assert len(crops) == RDED_CROPS * len(pool.pictures)
    assert class_ids.tolist() == np.repeat(pool.pictures.labels, RDED_CROPS).tolist()
    sure = brightness(class_ids, crops).reshape(-1, RDED_CROPS).max(axis=1)
    for class_id in range(len(CLASSES)):
        own = np.flatnonzero(pool.pictures.labels == class_id)
        wanted = own[np.argsort(-sure[own])][:4].tolist()
        mine = picks[4 * class_id : 4 * class_id + 4]
        assert [pick.picture for pick in mine] == wanted
        cut = pool.pictures.crops([p.picture for p in mine], [p.box for p in mine], WINDOW)
        assert brightness(np.zeros(4, np.int64), cut) == pytest.approx(sure[wanted])


def test_this_systems_orders_take_this_systems_windows(pool: Pool) -> None:
    picks = methods(JUDGES)["herding"](pool, 4)
    assert picks == [Pick(pick.picture, pool.window(pick.picture)) for pick in picks]


def test_centred_windows_are_those_of_the_same_images_moved_a_little(pool: Pool) -> None:
    by_name = methods(JUDGES)
    before, after = by_name["window-random"](pool, 6), by_name["window-random+centred"](pool, 6)
    assert [pick.picture for pick in before] == [pick.picture for pick in after]
    moved = [abs(a.box.top - b.box.top) + abs(a.box.left - b.box.left) for a, b in zip(after, before, strict=True)]
    assert 0 < max(moved) <= 2 * round(WINDOW / 7)


@pytest.fixture(scope="module")
def two_patches_an_image(pool: Pool) -> Pool:
    """The pool with a second window in the corner of every image, whose features are those of another image's first."""
    table = pool.patches
    both = table.take(np.tile(np.arange(len(table)), 2))
    second = np.arange(len(both)) >= len(table)
    swapped = np.concatenate([table.features, table.features[::-1]])
    further = replace(both, patch_rank=second.astype(both.patch_rank.dtype), features=swapped, top=both.top + second)
    return replace(pool, patches=further)


@pytest.mark.parametrize("name", WHOLE)
def test_whole_images_are_those_of_the_picks_in_their_order_each_once_in_its_class(
    two_patches_an_image: Pool, name: str
) -> None:
    pool, by_name = two_patches_an_image, methods(JUDGES)
    picks, taken = by_name[name](pool, 24), by_name[f"{name}+whole"](pool, 9)
    assert [pick.box for pick in taken] == [pool.pictures.whole(pick.picture) for pick in taken]
    for class_id in range(len(CLASSES)):
        order = [pick.picture for pick in picks if pool.pictures.labels[pick.picture] == class_id]
        mine = [pick.picture for pick in taken[9 * class_id : 9 * class_id + 9]]
        assert mine == list(dict.fromkeys(order))[:9]
    small = by_name[f"{name}+whole"](pool, 4)
    assert small == [pick for number in range(len(CLASSES)) for pick in taken[9 * number : 9 * number + 4]]


def test_reversed_el2n_takes_the_whole_images_of_least_error_of_each_class(pool: Pool) -> None:
    asked: list[NDArray[np.uint8]] = []

    def error(class_ids: NDArray[np.int64], images: NDArray[np.uint8]) -> NDArray[np.float64]:
        asked.append(images)
        return brightness(class_ids, images)

    picks = methods(Judges(SIDE, error_norm=error))["el2n-easy"](pool, 3)
    assert (asked[0] == np.stack(pool.pictures.images)).all()
    grey = np.array([image.mean() for image in pool.pictures.images])
    for class_id in range(len(CLASSES)):
        own = np.flatnonzero(pool.pictures.labels == class_id)
        mine = picks[3 * class_id : 3 * class_id + 3]
        assert [pick.picture for pick in mine] == own[np.argsort(grey[own])][:3].tolist()
        assert all(pick.box == pool.pictures.whole(pick.picture) for pick in mine)


@pytest.mark.parametrize("name", ["rded", "rded+whole", "el2n-easy"])
def test_a_method_without_its_network_says_what_it_needs(pool: Pool, name: str) -> None:
    with pytest.raises(SelectorError, match="--teacher-data"):
        methods(Judges(28))[name](pool, 1)


def test_true_boxes_without_boxes_is_an_error_that_says_what_is_missing(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data.tar", 4, seed=1, boxes=False)
    view = view_store(write_store(tmp_path / "store", data), list_items(data))
    pool = next(resampled(view.patches, view.class_names, list_items(data), 1, 4, seed=0))
    with pytest.raises(SelectorError, match=r"boxes\.csv"):
        methods(JUDGES)["true-boxes"](pool, 1)


def test_pools_share_no_image_while_there_are_enough_and_are_complete_classes() -> None:
    table = patch_table([30, 45])
    drawn = pool_rows(table, 3, 10, seed=1)
    for rows in drawn:
        assert np.bincount(table.class_id[rows]).tolist() == [10, 10]
    assert len(np.unique(np.concatenate(drawn))) == 60


def test_more_pools_than_images_are_dealt_from_another_shuffle() -> None:
    table = patch_table([20])
    first, second, third = (set(rows.tolist()) for rows in pool_rows(table, 3, 10, seed=1))
    assert not first & second
    assert third not in (first, second)


def test_pools_do_not_depend_on_the_tables_order_of_rows() -> None:
    table = patch_table([20])
    shuffle = np.random.default_rng(0).permutation(20)
    mixed = table.take(shuffle)
    rows, moved = pool_rows(table, 1, 7, seed=4)[0], pool_rows(mixed, 1, 7, seed=4)[0]
    assert set(table.image_id[rows]) == set(mixed.image_id[moved])


def test_a_pool_larger_than_a_class_is_refused() -> None:
    with pytest.raises(UsageError, match="--pool-size 21"):
        pool_rows(patch_table([30, 20]), 1, 21, seed=0)
