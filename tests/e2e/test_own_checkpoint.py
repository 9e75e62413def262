"""The path of a user with a checkpoint: `selector export` of a Stable Diffusion 1.x pipeline, then `selector run`."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from client.contract import ENSEMBLES
from client.embedded.wheel import embedded_problem
from client.repository import read_identity
from tests.e2e.command import manifest, picks, selector
from tests.tiny_text_pipeline import write_sd1

pytestmark = [pytest.mark.server, pytest.mark.skipif(bool(embedded_problem()), reason=str(embedded_problem()))]
CLASSES = ("bee", "coffee cup")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not write into it."""
    folder = tmp_path_factory.mktemp("own")
    write_sd1(folder / "pipeline")
    (folder / "classes.txt").write_text("n1\tbee\nn2\tcoffee cup\n")
    flags = ("--classes", folder / "classes.txt", "--out", folder / "repository", "--dift-block", "mid")
    done = selector("export", folder / "pipeline", *flags, "--draws", 8, "--max-batch", 8)
    assert done.stdout.strip() == str(folder / "repository")
    assert "served and compared with its configs" in done.stderr
    return folder / "repository"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten photographs of noise in two folders, larger than the model's 32 px and not square."""
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("images")
    for folder in ("n1", "n2"):
        (root / folder).mkdir()
        for number in range(5):
            Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(root / folder / f"{number}.png")
    return root


def hashes(repository: Path) -> dict[str, str]:
    files = sorted(path for path in repository.rglob("*") if path.is_file())
    return {str(p.relative_to(repository)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_a_run_with_one_s_own_checkpoint_ends_with_its_picks(repository: Path, images: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("n1\tbee\nn2\tcoffee cup\n")
    flags = ("--repository", repository, "--class-names", names, "--draws", 4, "--out", tmp_path / "out")
    selector("run", images, "--ipc", 3, *flags)
    chosen = picks(tmp_path / "out", 3)
    assert [(p["class_name"], p["rank"]) for p in chosen] == [(name, rank) for name in CLASSES for rank in range(3)]
    assert {(p["height"], p["width"]) for p in chosen} == {(24, 24)}
    assert {path.name for path in (tmp_path / "out" / "ipc-3" / "images").iterdir()} == {"n1", "n2"}
    counts = manifest(tmp_path / "out", 3)["counts"]
    assert (counts["scored"], counts["failed"], counts["picked"]) == (10, 0, 6)
    assert read_identity(repository).prompts == ("An image of .", "An image of bee.", "An image of coffee cup.")


def test_a_new_list_of_classes_changes_the_prompt_table_alone(repository: Path, tmp_path: Path) -> None:
    """Every other file, the UNet's graph above all, keeps its bytes; ensembles must answer otherwise, which their configs say."""
    own, classes = tmp_path / "repository", tmp_path / "new.txt"
    shutil.copytree(repository, own)
    classes.write_text("kite\nbee\nchurch\n")
    before = hashes(own)
    selector("export", "--classes", classes, "--reuse", own, "--null-prompt", "")
    after = hashes(own)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    told = {f"{name}/config.pbtxt" for name in ENSEMBLES}
    assert {name for name in changed if not name.startswith("prompt_embedding/")} == told
    identity = read_identity(own)
    assert identity.classes == ("kite", "bee", "church")
    assert identity.prompts == ("", "An image of kite.", "An image of bee.", "An image of church.")
    assert identity.pipeline == read_identity(repository).pipeline
    table = np.load(own / "prompt_embedding" / "prompts.npz")["table"]
    assert np.array_equal(table[2], np.load(repository / "prompt_embedding" / "prompts.npz")["table"][1]), "bee"


def test_two_ids_of_one_name_are_scored_and_handed_out_as_two_classes(
    repository: Path, images: Path, tmp_path: Path
) -> None:
    own, classes = tmp_path / "repository", tmp_path / "cranes.txt"
    shutil.copytree(repository, own)
    classes.write_text("n1\tcrane\nn2\tcrane\n")
    done = selector("export", "--classes", classes, "--reuse", own)
    assert "class n1 'crane', class n2 'crane' have one name" in done.stderr
    selector("run", images, "--ipc", 3, "--repository", own, "--draws", 4, "--out", tmp_path / "out")
    chosen = picks(tmp_path / "out", 3)
    assert [(p["class_id"], p["class_name"]) for p in chosen] == [(0, "crane")] * 3 + [(1, "crane")] * 3
    assert [p["source"].split("/")[0] for p in chosen] == ["n1"] * 3 + ["n2"] * 3
    assert {path.name for path in (tmp_path / "out" / "ipc-3" / "images").iterdir()} == {"n1", "n2"}
    assert "n1 crane" in (tmp_path / "out" / "ipc-3" / "report.html").read_text()


def test_a_new_list_with_another_pipeline_s_text_encoders_is_refused(repository: Path, tmp_path: Path) -> None:
    from export_scripts.errors import PipelineError
    from export_scripts.reuse import replace_classes
    from export_scripts.settings import Wanted
    from export_scripts.steps import Steps
    from tests.tiny_text_pipeline import write_sd2

    before = hashes(repository)
    with pytest.raises(PipelineError, match="another pipeline's prompts would mean nothing"):
        replace_classes(repository, Wanted(("kite",)), write_sd2(tmp_path / "other"), Steps(say=False))
    assert hashes(repository) == before
