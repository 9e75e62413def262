"""`selector export PIPELINE --compare-features DATA`: what is looked at, what is printed, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from export_scripts import command
from export_scripts.features.comparison import MOST_BLOCKS, places_of, sample, timesteps_of
from export_scripts.pipelines.source import load_source
from export_scripts.settings import Wanted
from selector.errors import UsageError
from selector.images.datasets import list_items
from tests.export_scripts.features.test_retrieval import LABELS, deaf, two_kinds
from tests.tiny_dit import tiny_dit, write_dit


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its block 1 is deaf; its own features, of that block, are the worst."""
    return write_dit(tmp_path_factory.mktemp("dit"), deaf(tiny_dit(), 1))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for number, (image, label) in enumerate(zip(two_kinds(), LABELS, strict=True)):
        folder = root / ("across", "down")[label]
        folder.mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / f"{number}.png")
    return root


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(command.main, [str(each) for each in arguments])


def test_the_last_line_is_what_the_exporter_takes(pipeline: Path, data: Path) -> None:
    result = invoke(pipeline, "--compare-features", data, "--feature-timesteps", "20,161")
    assert result.exit_code == 0, result.output
    *table, verdict, flags = result.stdout.splitlines()
    assert "16 images of 2 labels" in table[0]
    assert "by chance 0.467" in table[0]
    rows = [line for line in table if line.startswith("| ") and "timestep" not in line]
    assert len(rows) == 4
    assert [row.endswith("the pipeline's own |") for row in rows].count(True) == 1
    assert "the best leads the pipeline's own by 0." in verdict
    _, block, _, timestep = flags.split()
    profile = load_source(pipeline, Wanted(dift_block=int(block), dift_timestep=int(timestep))).profile
    assert profile.dift_block == 0
    assert rows[0].startswith(f"| 0 | {profile.dift_timestep} | ")


def test_a_machine_reads_every_candidate(pipeline: Path, data: Path) -> None:
    result = invoke(
        pipeline, "--compare-features", data, "--feature-blocks", "0", "--feature-timesteps", "20", "--json"
    )
    found = json.loads(result.stdout)
    assert (found["images"], found["labels"]) == (16, 2)
    assert found["own"] == {"block": 1, "timestep": 161}
    candidates = {(each["block"], each["timestep"]) for each in found["candidates"]}
    assert candidates == {(0, 20), (0, 161), (1, 20), (1, 161)}, "the pipeline's own are always among them"
    for each in found["candidates"]:
        assert each["interval"][0] <= each["found"] <= each["interval"][1]
    assert found["use"].startswith("--dift-block 0 --dift-timestep ")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--feature-images", "9"), "--feature-images says something to --compare-features DATA alone"),
        (("--compare-features", "tests", "--out", "x"), "writes nothing: no --out"),
        (("--compare-features", "tests", "--check-only"), "writes nothing: no --out, --reuse and --check-only"),
        (
            ("--compare-features", "tests", "--feature-blocks", "last"),
            "'last' is neither 'mid' nor the index of a block",
        ),
    ],
)
def test_flags_that_do_not_go_together_are_usage_errors(flags: tuple[str, ...], says: str, pipeline: Path) -> None:
    result = invoke(pipeline, *flags)
    assert result.exit_code == 2
    assert says in result.output


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--feature-blocks", "2"), "--feature-blocks has 2; this DiT has the blocks 0 to 1"),
        (("--feature-timesteps", "1000"), "--feature-timesteps has 1000, outside the schedule of 1000 steps"),
    ],
)
def test_a_place_that_is_not_there_is_named(flags: tuple[str, ...], says: str, pipeline: Path, data: Path) -> None:
    result = invoke(pipeline, "--compare-features", data, *flags)
    assert result.exit_code == 1
    assert says in result.output


def folders(root: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.new("L", (8, 8), number).save(root / name / f"{number}.png")
    return root


def test_a_sample_has_as_many_of_each_label_and_no_label_of_one_image(tmp_path: Path) -> None:
    listing = list_items(folders(tmp_path, {"a": 20, "b": 9, "c": 1, "d": 30}))
    rows, labels = sample(listing, 24)
    assert len(set(rows.tolist())) == len(rows)
    assert np.bincount(labels).tolist() == [8, 8, 0, 8]
    assert (listing.folder[rows] == labels).all()


def test_of_many_labels_some_are_taken_with_several_images_each(tmp_path: Path) -> None:
    _, labels = sample(list_items(folders(tmp_path, {f"c{n}": 6 for n in range(20)})), 24)
    counts = np.bincount(labels)
    assert sorted(counts[counts > 0].tolist()) == [4] * 6


def test_images_of_one_label_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 1 labels of two images and more"):
        sample(list_items(folders(tmp_path, {"a": 5, "b": 1})), 100)


def test_of_many_blocks_some_from_all_over_are_candidates_and_the_own_is_among_them(tmp_path: Path) -> None:
    source = load_source(write_dit(tmp_path, tiny_dit(num_layers=31)), Wanted(dift_block=16, dift_timestep=77))
    places = places_of(source, None)
    assert len(places) in (MOST_BLOCKS, MOST_BLOCKS + 1)
    assert {0, 16, 30} <= set(places)
    assert timesteps_of(source, None) == (50, 77, 150, 250, 350, 450)
    assert timesteps_of(source, (5,)) == (5, 77)
