"""`evaluate --choose` on easy data: with and without a test set, sizes that adapt, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selector.cli import main
from selector.errors import UsageError
from selector.evaluation.choosing import ChooseConfig, choose, sizes_for
from selector.evaluation.pools import Pool, resampled
from selector.progress import Progress
from tests.evaluation_data import write_data, write_store

QUIET = Progress(quiet=True)
SHORT = "steps=30,side_px=16,batch=12"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 3 classes 25 images each, without boxes; the scored windows are a corner in which the object seldom is."""
    folder = tmp_path_factory.mktemp("choosing")
    return write_store(folder / "store", write_data(folder / "data.tar", 25, seed=1, boxes=False))


def test_without_a_test_set_images_are_held_out_that_no_pool_has(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scored windows show nothing, so whole images must win, in words, in JSON and again when it is run again."""
    seen: list[Pool] = []

    def watched(*given: object) -> object:
        for pool in resampled(*given):  # type: ignore[arg-type]
            seen.append(pool)
            yield pool

    monkeypatch.setattr("selector.evaluation.evaluate.resampled", watched)
    asked = ["evaluate", "--choose", "--store", store, "--out", tmp_path / "out", "--pools", 4, "--recipe", SHORT]
    asked = [str(part) for part in (*asked, "--ipc", 2, "--students", "convnet")]
    main([*asked, "--json"])
    result = json.loads(capsys.readouterr().out)
    assert result["runs"] == 16
    assert [(c["view"], c["ipc"], c["pools"]) for c in result["choice"]] == [("whole", 2, 4)]
    assert result["choice"][0]["words"] == "use --take image --order herding"
    assert json.loads((tmp_path / "out" / "choice.json").read_text()) == result
    in_pools = [set(pool.pictures.sources) for pool in seen]
    assert [len(sources) for sources in in_pools] == [15] * 4
    assert len(set().union(*in_pools)) == 60, "pools share no image, and 15 of 75 are held out"
    monkeypatch.setattr("selector.evaluation.evaluate.train_student", None)
    main(asked)
    told, watched_by_people = capsys.readouterr()
    assert "16 of 16 students are trained already" in watched_by_people
    assert told.startswith("IPC 2, tested on whole images: ")
    assert all(comparison["words"] in told for comparison in result["choice"][0]["comparisons"])


def test_a_given_test_set_is_used_and_its_boxes_give_a_second_verdict(store: Path, tmp_path: Path) -> None:
    test = write_data(tmp_path / "test.tar", 10, seed=2)
    result = choose(ChooseConfig(store, tmp_path / "out", test, pools=4, recipe="steps=2,side_px=16"), QUIET)
    assert {choice["view"] for choice in result["choice"]} == {"whole", "object"}
    assert {choice["ipc"] for choice in result["choice"]} == {10}
    assert result["notes"] == [
        "pools share images (25 for 4 pools of 20), so intervals are narrower than they should be"
    ]


def test_sizes_give_pools_of_their_own_images_where_there_are_enough() -> None:
    sizes = sizes_for({"a": 200, "b": 120}, (10,), 6)
    assert (sizes.ipc, sizes.pool, sizes.notes) == ((10,), 20, ())
    assert sizes_for({"a": 20_000, "b": 30_000}, (10, 50), 4).pool == 500


def test_a_small_class_lowers_the_budget_that_nobody_asked_for_and_is_named() -> None:
    sizes = sizes_for({"a": 200, "b": 9}, (), 4)
    assert (sizes.ipc, sizes.pool) == ((4,), 8)
    assert "class b has 9 scored images" in sizes.notes[0]


@pytest.mark.parametrize(
    ("counts", "asked", "message"),
    [
        ({"a": 200, "b": 14}, (2, 10), "class b has 14 scored images .* needs 20, .*--ipc 7 or less"),
        ({"a": 200, "b": 1}, (), "class b has 1 scored images .* needs 2, .*score more of it"),
        ({"a": 200, "b": 0}, (1,), "class b has 0 scored images"),
    ],
)
def test_classes_that_are_too_small_are_refused_by_name(
    counts: dict[str, int], asked: tuple[int, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        sizes_for(counts, asked, 4)


def test_fewer_than_four_pools_are_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least --pools 4"):
        ChooseConfig(store, tmp_path, pools=3)


def test_options_that_it_decides_itself_are_refused_by_name(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["evaluate", "--choose", "--store", store, "--out", tmp_path, "--methods", "rded", "--pool-size", 5]
    with pytest.raises(SystemExit) as ended:
        main([str(part) for part in asked])
    assert ended.value.code == 2
    assert "--methods, --pool-size" in capsys.readouterr().err


def test_without_choose_a_test_set_is_needed(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--store", str(store), "--out", str(tmp_path)])
    assert ended.value.code == 2
    assert "--test DATA" in capsys.readouterr().err
