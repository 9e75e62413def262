"""The scene generator: true boxes, decoys and determinism, on drawn items instead of Fashion-MNIST."""

from __future__ import annotations

import gzip
import struct
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from export_scripts.make_scenes import (
    CLASS_NAMES,
    ITEM_PX,
    Items,
    SceneParameters,
    Scenes,
    main,
    make_scene,
    make_scenes,
    pixels_hash,
    read_items,
)

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
    scene, top, left = make_scene(items, 0, True, parameters, np.random.default_rng(1))
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


def _write_idx(folder: Path, items: Items) -> None:
    header = struct.pack(">4i", 0x0803, len(items.labels), ITEM_PX, ITEM_PX)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + items.images.tobytes()))
    header = struct.pack(">2i", 0x0801, len(items.labels))
    content = header + items.labels.astype(np.uint8).tobytes()
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content))


def test_the_command_reads_idx_files_and_writes_every_class(items: Items, tmp_path: Path) -> None:
    _write_idx(tmp_path, items)
    assert np.array_equal(read_items("train", tmp_path).images, items.images)
    arguments = ["--split", "train", "--per-class", "2", "--source", str(tmp_path), "--out", str(tmp_path / "s.tar")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    with tarfile.open(tmp_path / "s.tar") as tar:
        folders = {name.split("/")[0] for name in tar.getnames() if name.endswith(".png")}
    assert folders == set(CLASS_NAMES)


def test_a_damaged_idx_file_is_refused(items: Items, tmp_path: Path) -> None:
    _write_idx(tmp_path, items)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\0" * 32))
    with pytest.raises(ValueError, match="not an IDX file"):
        read_items("train", tmp_path)
