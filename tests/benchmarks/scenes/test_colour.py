"""Colour scenes: the frozen generator, true boxes, decoys, and what brightness and saturation know of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.localisation.pointing import localise
from benchmarks.localisation.quality import saturation_z
from benchmarks.scenes.clipart import CLASS_NAMES, Drawings, read_drawings
from benchmarks.scenes.colour import ColourParameters, main, make_colour_scene, make_colour_scenes, texture
from benchmarks.scenes.scenes import Scenes, pixels_hash
from benchmarks.scenes.tar import read_tar
from benchmarks.scenes.worlds import draw_scenes
from selector.localisation.windows import brightness_z, window_grid
from tests.benchmarks.scenes.drawn_clipart import write_clipart

FROZEN_FINGERPRINT = "1e301936ac98e85b"  # docs/decisions/027-three-worlds.md


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("clipart") / "png"
    write_clipart(source)
    return source


@pytest.fixture(scope="module")
def drawings(package: Path) -> Drawings:
    return read_drawings(package)


@pytest.fixture(scope="module")
def scenes(drawings: Drawings) -> Scenes:
    return make_colour_scenes(drawings, 20, seed=3)


def test_the_generator_is_the_frozen_one() -> None:
    assert ColourParameters().fingerprint == FROZEN_FINGERPRINT
    assert replace(ColourParameters(), largest_side=36).fingerprint != FROZEN_FINGERPRINT


def test_a_texture_is_the_same_on_every_machine() -> None:
    drawn = texture(ColourParameters(), np.random.default_rng(1))
    assert drawn.shape == (64, 64, 3)
    assert drawn[::21, ::21, 0].tolist() == [
        [93, 94, 73, 75],
        [88, 104, 118, 99],
        [125, 123, 129, 135],
        [97, 116, 96, 144],
    ]


def test_the_box_is_where_the_scene_of_another_drawing_differs(drawings: Drawings) -> None:
    own = np.flatnonzero(drawings.labels == 0)
    two = [make_colour_scene(drawings, int(i), False, ColourParameters(), np.random.default_rng(2)) for i in own[:2]]
    (one, box), (other, same) = two
    assert box == same
    top, left, side = box
    rows, columns = np.nonzero((one != other).any(axis=-1))
    assert top <= rows.min() <= rows.max() < top + side
    assert left <= columns.min() <= columns.max() < left + side
    assert len(rows) > side * side / 3


def test_sides_lie_between_a_quarter_and_five_eighths_and_every_second_scene_has_a_decoy(scenes: Scenes) -> None:
    assert scenes.images.shape == (20 * len(CLASS_NAMES), 64, 64, 3)
    assert scenes.sides.min() >= 16
    assert scenes.sides.max() <= 40
    assert len(set(scenes.sides.tolist())) > 15
    for label in range(len(CLASS_NAMES)):
        assert scenes.decoys[scenes.labels == label].mean() == 0.5


def test_a_decoy_is_as_large_as_drawings_are_and_lies_beside_the_drawing(drawings: Drawings) -> None:
    parameters = replace(ColourParameters(), fragments_beside_decoy=(0, 0), texture_contrast=(1, 2))
    sizes = []
    for seed in range(30):
        scene, (top, left, side) = make_colour_scene(drawings, 0, True, parameters, np.random.default_rng(seed))
        apart = np.abs(scene.astype(int) - np.median(scene, axis=(0, 1))).max(axis=-1) > 8
        apart[top : top + side, left : left + side] = False
        rows, columns = np.nonzero(apart)
        sizes.append(max(np.ptp(rows), np.ptp(columns)) + 1)
    assert min(sizes) >= 10  # blocks at the edges may be empty
    assert max(sizes) <= 40
    assert np.mean(sizes) > 18


def test_neither_brightness_nor_saturation_knows_where_the_drawing_is(scenes: Scenes) -> None:
    grid = window_grid(64, 28, 4)
    bright = np.stack([brightness_z(image, grid) for image in scenes.images])
    saturated = np.stack([saturation_z(image, grid) for image in scenes.images])
    assert localise(bright, grid, scenes).pointing_decoys <= 0.55
    assert localise(saturated, grid, scenes).pointing_decoys <= 0.55


def test_equal_seeds_give_equal_scenes_and_other_seeds_others(drawings: Drawings, scenes: Scenes) -> None:
    assert pixels_hash(make_colour_scenes(drawings, 20, seed=3)) == pixels_hash(scenes)
    assert pixels_hash(make_colour_scenes(drawings, 20, seed=4)) != pixels_hash(scenes)


def test_the_command_writes_a_tar_that_reads_back_in_colour(package: Path, tmp_path: Path) -> None:
    out = tmp_path / "colour.tar"
    result = CliRunner().invoke(
        main, ["--split", "train", "--per-class", "2", "--source", str(package), "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    made = make_colour_scenes(read_drawings(package).of_split("train"), 2, seed=1)
    assert pixels_hash(read_tar(out, CLASS_NAMES)) == pixels_hash(made)
    assert pixels_hash(made) in result.output


def test_scenes_of_a_world_say_which_drawing_they_show(package: Path) -> None:
    drawn = draw_scenes("colour", "train", 8, 5, package)
    assert len(drawn.items) == len(drawn.scenes.labels) == 80
    pool = read_drawings(package).of_split("train")
    assert (pool.labels[drawn.items] == drawn.scenes.labels).all()


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, ["--split", "train", "--per-class", "2", "--source", str(tmp_path), "--out", str(tmp_path / "x.tar")]
    )
    assert result.exit_code == 1
    assert "openclipart-png" in result.output
