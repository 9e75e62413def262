"""The scene generator: true boxes, decoys and determinism, on drawn items instead of Fashion-MNIST."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.scenes.generator import SceneParameters, main, make_scene, make_scenes
from benchmarks.scenes.items import CLASS_NAMES, ITEM_PX, Items
from benchmarks.scenes.scenes import Scenes, pixels_hash
from tests.idx_files import write_idx

FROZEN_FINGERPRINT = "999814899bc02e25"  # docs/decisions/002-scenes.md


@pytest.fixture(scope="module")
def items() -> Items:
    """Six items of each class: textures without a black pixel, so that every pasted pixel is known."""
    rng = np.random.default_rng(5)
    labels = np.arange(60) % 10
    images = rng.integers(100, 200, size=(60, ITEM_PX, ITEM_PX), dtype=np.uint8)
    return Items(images, labels)


@pytest.fixture(scope="module")
def scenes(items: Items) -> Scenes:
    return make_scenes(items, 20, seed=3)


def test_the_generator_is_the_frozen_one() -> None:
    assert SceneParameters().fingerprint == FROZEN_FINGERPRINT
    assert replace(SceneParameters(), decoy_block_px=14).fingerprint != FROZEN_FINGERPRINT


def test_the_true_box_holds_an_item_of_the_scenes_class(items: Items, scenes: Scenes) -> None:
    for i, label in enumerate(scenes.labels):
        box = scenes.images[i, scenes.tops[i] : scenes.tops[i] + ITEM_PX, scenes.lefts[i] : scenes.lefts[i] + ITEM_PX]
        own = items.images[items.labels == label]
        covered = (box >= own).all(axis=(1, 2))
        assert covered.any(), f"scene {i} shows no item of class {label} in its box"


def test_half_of_every_class_has_a_decoy_and_a_decoy_doubles_the_light(scenes: Scenes) -> None:
    for label in range(len(CLASS_NAMES)):
        assert scenes.decoys[scenes.labels == label].mean() == 0.5
    covered = (scenes.images > 0).sum(axis=(1, 2))
    assert (covered[scenes.decoys] >= 2 * ITEM_PX**2).all()  # item and decoy do not overlap
    assert (covered[~scenes.decoys] <= ITEM_PX**2 + 10 * 64).all()


def test_a_decoy_has_the_pixels_of_another_class_but_not_its_arrangement(items: Items) -> None:
    parameters = replace(SceneParameters(), fragments_beside_decoy=(0, 0))
    scene, (top, left, _) = make_scene(items, 0, True, parameters, np.random.default_rng(1))
    rest = scene.copy()
    rest[top : top + ITEM_PX, left : left + ITEM_PX] = 0
    light = np.sort(rest[rest > 0])
    sources = [i for i in range(60) if np.array_equal(np.sort(items.images[i].ravel()), light)]
    assert len(sources) == 1
    assert items.labels[sources[0]] != items.labels[0]
    rows, columns = np.nonzero(rest)
    decoy = rest[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert decoy.shape == (ITEM_PX, ITEM_PX)
    assert not np.array_equal(decoy, items.images[sources[0]])


def test_equal_seeds_give_equal_scenes_and_other_seeds_others(items: Items, scenes: Scenes) -> None:
    assert pixels_hash(make_scenes(items, 20, seed=3)) == pixels_hash(scenes)
    assert pixels_hash(make_scenes(items, 20, seed=4)) != pixels_hash(scenes)


def test_finer_classes_are_garments_of_the_upper_body_with_decoys_and_clutter_of_their_own_kind(items: Items) -> None:
    kept = {"t-shirt", "pullover", "dress", "coat", "shirt"}
    finer = make_scenes(items, 4, seed=3, variant="finer-classes")
    assert {CLASS_NAMES[label] for label in finer.labels} == kept
    assert len(finer.labels) == 20
    assert finer.decoys.sum() == 10
    # Black items of all other classes change nothing: no pixel is theirs.
    others = ~np.isin(items.labels, [CLASS_NAMES.index(name) for name in kept])
    blackened = Items(np.where(others[:, None, None], 0, items.images).astype(np.uint8), items.labels)
    assert np.array_equal(finer.images, make_scenes(blackened, 4, seed=3, variant="finer-classes").images)


def test_the_plain_variant_is_the_items_themselves_each_once(items: Items) -> None:
    plain = make_scenes(items, 6, seed=3, variant="plain")
    assert not plain.decoys.any()
    assert not plain.tops.any()
    assert not plain.lefts.any()
    assert sorted(image.tobytes() for image in plain.images) == sorted(image.tobytes() for image in items.images)


def test_small_items_lie_in_larger_scenes_with_their_true_boxes(items: Items) -> None:
    small = make_scenes(items, 4, seed=3, variant="small-items")
    assert small.images.shape == (40, 96, 96)
    assert small.tops.max() > 64 - ITEM_PX  # places that the usual scenes do not have
    for i, label in enumerate(small.labels):
        box = small.images[i, small.tops[i] : small.tops[i] + ITEM_PX, small.lefts[i] : small.lefts[i] + ITEM_PX]
        assert (box >= items.images[items.labels == label]).all(axis=(1, 2)).any()


def test_mixed_items_have_three_sizes_and_as_large_decoys_beside_them(items: Items) -> None:
    mixed = make_scenes(items, 30, seed=3, variant="mixed-items")
    assert mixed.images.shape == (300, 64, 64)
    assert set(mixed.sides) == {20, 28, 36}
    assert set(mixed.sides[mixed.decoys]) == {20, 28, 36}, "with a decoy that is small enough to lie beside it"
    for image, top, left, side in zip(mixed.images, mixed.tops, mixed.lefts, mixed.sides, strict=True):
        assert (image[top : top + side, left : left + side] > 0).all(), "an item without a black pixel fills its box"
    covered = (mixed.images > 0).sum(axis=(1, 2))
    assert (covered[mixed.decoys] >= mixed.sides[mixed.decoys] ** 2 + 20**2).all()


def test_scenes_of_a_mask_are_those_alone(scenes: Scenes) -> None:
    half = scenes.only(scenes.decoys)
    assert len(half.labels) == len(half.sides) == 100
    assert half.decoys.all()
    assert np.array_equal(half.images, scenes.images[scenes.decoys])


def test_the_command_reads_idx_files_and_writes_every_class(items: Items, tmp_path: Path) -> None:
    write_idx(tmp_path, items)
    arguments = ["--split", "train", "--per-class", "2", "--source", str(tmp_path), "--out", str(tmp_path / "s.tar")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    with tarfile.open(tmp_path / "s.tar") as tar:
        folders = {name.split("/")[0] for name in tar.getnames() if name.endswith(".png")}
    assert folders == set(CLASS_NAMES)
