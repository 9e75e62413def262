"""Maps of single draws from a real server: pieces are kept, and another's folder is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.localisation.maps import collect as collect_scenes
from benchmarks.localisation.references import DrawMaps, collect
from client.embedded.server import EmbeddedServer
from client.embedded.wheel import embedded_problem
from selector.config import ScoreConfig
from selector.localisation.typicality import rule
from tests.tiny_pipeline import CLASSES, RESOLUTION

pytestmark = [pytest.mark.server, pytest.mark.skipif(bool(embedded_problem()), reason=str(embedded_problem()))]
PER_CLASS, DRAWS = 3, 8


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name in CLASSES:
        (root / name).mkdir()
        for number in range(PER_CLASS):
            pixels = rng.integers(0, 256, (RESOLUTION, RESOLUTION, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def config(data: Path, tiny_repository: Path) -> ScoreConfig:
    return ScoreConfig(data, data, tiny_repository, draws=DRAWS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("maps")


@pytest.fixture(scope="module")
def maps(config: ScoreConfig, folder: Path) -> DrawMaps:
    return collect(config, 2, folder)


@pytest.fixture(scope="module")
def server(tiny_repository: Path) -> Iterator[str]:
    with EmbeddedServer(tiny_repository, threads=1) as started:
        yield started.grpc_url


def test_two_replicates_have_the_same_references_and_other_noises(maps: DrawMaps, server: str) -> None:
    images = np.stack([image.canvas for image in maps.images if image.canvas is not None])

    def twice(class_id: int, classes: int, draws: int) -> np.ndarray:
        return np.tile(rule(maps.settings.rule.name).references(class_id, classes, draws // 2), 2)

    found = asyncio.run(collect_scenes(server, images, maps.class_id, 2 * DRAWS, {"twice": twice}, None))
    np.testing.assert_allclose(maps.deltas.reshape(found.deltas["twice"].shape), found.deltas["twice"], atol=1e-6)
    assert not np.allclose(maps.deltas[:, 0], maps.deltas[:, 1])


def test_pieces_that_are_there_are_not_computed_again(maps: DrawMaps, config: ScoreConfig, folder: Path) -> None:
    (piece,) = folder.glob("*.npy")
    kept = np.load(piece)
    np.save(piece, kept + 1)
    again = collect(config, 2, folder)
    np.save(piece, kept)
    assert np.array_equal(again.deltas, maps.deltas + 1)


def test_a_folder_of_other_draws_is_refused(maps: DrawMaps, config: ScoreConfig, folder: Path) -> None:
    with pytest.raises(ValueError, match="other images, draws or models"):
        collect(config, 1, folder)


def test_scenes_go_on_from_their_pieces_and_refuse_those_of_others(server: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, RESOLUTION, RESOLUTION, 3), dtype=np.uint8)
    labels = np.arange(5) % 3
    kinds = {name: rule(name).references for name in ("null", "rotating")}
    found = asyncio.run(collect_scenes(server, images, labels, 4, kinds, tmp_path))
    assert {name: maps.shape for name, maps in found.deltas.items()} == dict.fromkeys(kinds, (5, 4, 8, 8))
    np.save(tmp_path / "null-000000.npy", found.deltas["null"] + 1)
    again = asyncio.run(collect_scenes(server, images, labels, 4, kinds, tmp_path))
    assert np.array_equal(again.deltas["null"], found.deltas["null"] + 1)
    assert np.array_equal(again.deltas["rotating"], found.deltas["rotating"])
    with pytest.raises(ValueError, match="other images"):
        asyncio.run(collect_scenes(server, images[::-1], labels, 4, kinds, tmp_path))
