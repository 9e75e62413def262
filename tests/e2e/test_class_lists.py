"""Folders named by WordNet ids, and built-in lists on both sides: the exporter's classes and the map of folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from client.embedded.wheel import embedded_problem
from client.repository import read_identity
from tests.e2e.command import picks, selector
from tests.tiny_text_pipeline import write_sd1

pytestmark = [pytest.mark.server, pytest.mark.skipif(bool(embedded_problem()), reason=str(embedded_problem()))]
FOLDERS = {"n01440764": "tench", "n03028079": "church", "n03888257": "parachute"}
SCORING = ("--draws", 2, "--no-wait")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ten classes of imagenette with a random pipeline. Do not write into it."""
    folder = tmp_path_factory.mktemp("imagenette")
    write_sd1(folder / "pipeline")
    flags = ("--classes", "imagenette", "--prompt", "{class}", "--null-prompt", "", "--out", folder / "repository")
    selector("export", folder / "pipeline", *flags, "--dift-block", "mid", "--draws", 8, "--max-batch", 8)
    return folder / "repository"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("images")
    for folder in FOLDERS:
        (root / folder).mkdir()
        for number in range(3):
            Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(root / folder / f"{number}.png")
    return root


def test_folders_of_wordnet_ids_are_the_classes_of_the_list(repository: Path, images: Path, tmp_path: Path) -> None:
    identity = read_identity(repository)
    assert (len(identity.classes), identity.classes[0], identity.class_names[0]) == (10, "n01440764", "tench")
    flags = ("--repository", repository, "--class-names", "imagenet-1k", "--out", tmp_path / "out")
    selector("run", images, "--ipc", 2, *flags, *SCORING)
    chosen = picks(tmp_path / "out", 2)
    assert [p["class_name"] for p in chosen] == [name for name in FOLDERS.values() for _ in range(2)]
    assert [p["source"].split("/")[0] for p in chosen] == [folder for folder in FOLDERS for _ in range(2)]
    assert {p["class_id"] for p in chosen} == {identity.classes.index(folder) for folder in FOLDERS}
    assert {path.name for path in (tmp_path / "out" / "ipc-2" / "images").iterdir()} == set(FOLDERS)


def test_a_repository_of_names_alone_takes_the_ids_through_the_list(
    repository: Path, images: Path, tmp_path: Path
) -> None:
    own, names = tmp_path / "repository", tmp_path / "names.txt"
    shutil.copytree(repository, own)
    names.write_text("parachute\ntench\nchurch\n")
    selector("export", "--classes", names, "--reuse", own)
    run = ("run", images, "--ipc", 2, "--repository", own, "--out", tmp_path / "out", *SCORING)
    refused = selector(*run, code=4)
    assert "WordNet ids get their names by --class-names imagenet-1k" in refused.stderr
    selector(*run, "--class-names", "imagenet-1k")
    chosen = picks(tmp_path / "out", 2)
    assert [p["class_name"] for p in chosen] == ["parachute"] * 2 + ["tench"] * 2 + ["church"] * 2
    assert all(FOLDERS[p["source"].split("/")[0]] == p["class_name"] for p in chosen)


def test_a_class_whose_folder_is_stored_in_two_forms_of_unicode_counts_its_images_together(
    repository: Path, images: Path, tmp_path: Path
) -> None:
    """Two images in each form: too few for three picks, were they two classes."""
    own, names, root = tmp_path / "repository", tmp_path / "names.txt", tmp_path / "images"
    shutil.copytree(repository, own)
    names.write_text("caf\u00e9\n", encoding="utf-8")
    selector("export", "--classes", names, "--reuse", own)
    files = sorted(images.rglob("*.png"))
    for form, taken in (("caf\u00e9", files[:2]), ("cafe\u0301", files[2:4])):
        (root / form).mkdir(parents=True)
        for path in taken:
            shutil.copy(path, root / form / f"{path.parent.name}-{path.name}")
    selector("run", root, "--ipc", 3, "--repository", own, "--out", tmp_path / "out", *SCORING)
    chosen = picks(tmp_path / "out", 3)
    assert [p["class_name"] for p in chosen] == ["caf\u00e9"] * 3
    assert {p["source"].split("/")[0] for p in chosen} == {"caf\u00e9", "cafe\u0301"}
