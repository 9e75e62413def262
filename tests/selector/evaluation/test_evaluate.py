"""The whole evaluation on an easy data set: learning, resuming, refusals, tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from selector.cli import main
from selector.errors import StoreError, UsageError
from selector.evaluation.evaluate import evaluate
from selector.evaluation.pictures import read_data_set
from selector.evaluation.settings import EvaluateConfig, Recipe, config_of, recipe_of
from selector.evaluation.students import LabelledCrops, train_student
from selector.evaluation.teacher import load_teacher
from selector.progress import Progress
from tests.evaluation_data import CLASSES, write_data, write_store

QUIET = Progress(quiet=True)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> EvaluateConfig:
    """Two methods, two pools, trained and finished once."""
    folder = tmp_path_factory.mktemp("evaluation")
    data = write_data(folder / "data.tar", 20, seed=1)
    config = EvaluateConfig(
        store=write_store(folder / "store", data),
        test=write_data(folder / "test.tar", 15, seed=2),
        out=folder / "out",
        teacher=folder / "teacher.pt",
        teacher_data=write_data(folder / "teacher.tar", 40, seed=4),
        teacher_steps=40,
        methods=("true-boxes", "window-random"),
        reference="window-random",
        ipc=(3,),
        pools=2,
        pool_size=10,
        recipe=Recipe(side_px=16, steps=40, batch=9, checkpoints=2),
    )
    evaluate(config, QUIET)
    return config


def test_students_of_true_boxes_learn_more_than_those_of_a_fixed_corner(config: EvaluateConfig) -> None:
    records = json.loads((config.out / "results.json").read_text())["table"]
    found = {(r["view"], r["method"]): r for r in records}
    assert found["object", "true-boxes"]["mean"] > 80
    assert found["object", "true-boxes"]["difference_mean"] > 10
    assert found["object", "true-boxes"]["n"] == 2
    assert found["whole", "window-random"]["difference_mean"] is None


def test_finished_runs_are_not_trained_again_and_missing_ones_come_back_the_same(
    config: EvaluateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []
    monkeypatch.setattr(
        "selector.evaluation.evaluate.train_student", lambda *given: trained.append(given) or train_student(*given)
    )
    lost = config.out / "runs" / "true-boxes-pool1-ipc3-convnet-soft.json"
    before = json.loads(lost.read_text())
    lost.unlink()
    evaluate(config, QUIET)
    after = json.loads(lost.read_text())
    assert len(trained) == 1
    assert {**after, "seconds": 0} == {**before, "seconds": 0}


def test_data_with_some_of_the_pipelines_classes_gives_the_same_as_with_all(config: EvaluateConfig) -> None:
    """A store numbers classes as the pipeline does, a teacher those of its data: 0, 3, 5 are its 0, 1, 2."""
    assert config.teacher_data is not None
    some = write_store(config.out.parent / "some", config.store.parent / "data.tar", (0, 3, 5))
    asked = replace(config, store=some, out=config.out.parent / "some-out", methods=("true-boxes", "rded", "herding"))
    evaluate(replace(asked, pools=1, reference="rded", labels=("soft", "hard")), QUIET)
    both = [out / "runs" / "true-boxes-pool0-ipc3-convnet-soft.json" for out in (config.out, asked.out)]
    first, second = (json.loads(path.read_text()) for path in both)
    assert first["last"] == second["last"]
    assert len(list((asked.out / "runs").iterdir())) == 6


def test_other_conditions_in_the_same_folder_are_refused_by_name(config: EvaluateConfig) -> None:
    with pytest.raises(StoreError, match=r"recipe\.steps: 40 there, 41 now"):
        evaluate(replace(config, recipe=replace(config.recipe, steps=41)), QUIET)


@pytest.mark.parametrize(
    ("change", "named"), [({"methods": ("magic",)}, "magic"), ({"students": ("alexnet",)}, "alexnet")]
)
def test_unknown_names_are_refused_before_training(
    config: EvaluateConfig, change: dict[str, tuple[str, ...]], named: str
) -> None:
    with pytest.raises(UsageError, match=named):
        evaluate(replace(config, **change), QUIET)


def test_a_missing_teacher_without_data_to_train_it_is_refused(config: EvaluateConfig, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--teacher-data"):
        evaluate(replace(config, teacher=tmp_path / "none.pt", teacher_data=None), QUIET)


def test_mosaics_and_hard_labels_train_too(config: EvaluateConfig, tmp_path: Path) -> None:
    short = replace(config.recipe, steps=2)
    result = evaluate(replace(config, out=tmp_path, mosaic=4, ipc=(2,), labels=("hard",), recipe=short), QUIET)
    assert result["runs"] == 4


@pytest.mark.parametrize("crops", ["image", "tile"])
def test_a_folder_of_mosaics_cropped_otherwise_is_refused(config: EvaluateConfig, tmp_path: Path, crops: str) -> None:
    """Folders that were begun before there was a choice don't name it: their crops were of the whole mosaic."""
    short = replace(config.recipe, steps=2, crops="image")
    asked = replace(config, out=tmp_path, mosaic=4, ipc=(2,), labels=("hard",), pools=1, recipe=short)
    evaluate(asked, QUIET)
    conditions = json.loads((tmp_path / "conditions.json").read_text())
    del conditions["recipe.crops"]
    (tmp_path / "conditions.json").write_text(json.dumps(conditions))
    again = replace(asked, recipe=replace(short, crops=crops))
    if crops == "image":
        assert evaluate(again, QUIET)["runs"] == 2
    else:
        with pytest.raises(StoreError, match=r"recipe\.crops: 'image' there, 'tile' now"):
            evaluate(again, QUIET)


def test_hard_labels_need_no_teacher_and_one_may_join_later(config: EvaluateConfig, tmp_path: Path) -> None:
    short = replace(config.recipe, steps=4)
    asked = replace(config, out=tmp_path / "out", pools=1, labels=("hard",), recipe=short)
    asked = replace(asked, teacher=tmp_path / "none.pt", teacher_data=None)
    assert evaluate(asked, QUIET)["teacher_accuracy"] == {}
    assert not asked.teacher.exists()
    both = replace(asked, teacher=config.teacher, teacher_data=config.teacher_data, labels=("hard", "soft"))
    assert evaluate(both, QUIET)["runs"] == 4
    assert evaluate(asked, QUIET)["runs"] == 4, "the teacher that others asked is no other condition"
    with pytest.raises(UsageError, match="--teacher-data to train the teacher"):
        evaluate(replace(asked, methods=("rded", "centre"), reference="rded"), QUIET)


def test_the_networks_of_el2n_are_trained_once_and_kept_beside_the_teacher(
    config: EvaluateConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = replace(config, out=tmp_path / "out", methods=("el2n-easy",), labels=("hard",), pools=1)
    asked = replace(asked, teacher=tmp_path / "judge.pt", recipe=replace(config.recipe, steps=4))
    evaluate(asked, QUIET)
    assert {path.name for path in tmp_path.iterdir()} == {"out", "judge.el2n.pt"}
    assert "easiness" in json.loads((asked.out / "conditions.json").read_text())
    monkeypatch.setattr("selector.evaluation.networks.train_committee", None)
    evaluate(replace(asked, pools=2, teacher_data=None), QUIET)


def test_a_teacher_alone_is_not_enough_for_el2n_and_the_remedy_is_named(config: EvaluateConfig, tmp_path: Path) -> None:
    asked = replace(config, out=tmp_path / "out", methods=("el2n-easy",), labels=("soft",), teacher_data=None)
    with pytest.raises(UsageError, match=r"teacher\.el2n\.pt is not there: pass --teacher-data to train the networks"):
        evaluate(asked, QUIET)


def test_the_plot_is_well_formed_and_shows_every_method(config: EvaluateConfig) -> None:
    drawn = ElementTree.fromstring((config.out / "accuracy-object-convnet-soft.svg").read_text())
    words = {text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert {"true-boxes", "window-random", "3"} <= words


def test_the_command_refuses_a_teacher_of_another_input_size_as_a_matter_of_usage(
    config: EvaluateConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--store", config.store, "--test", config.test, "--out", tmp_path, "--teacher", config.teacher]
    asked = ["--methods", "centre", "--ipc", "1,2", "--pools", 1, "--pool-size", 5, "--recipe", "steps=3", "--json"]
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *map(str, given + asked)])
    assert ended.value.code == 2
    assert "16 px" in capsys.readouterr().err


def whole_images(folder: Path, per_class: int, seed: int) -> LabelledCrops:
    """Whole images, so hard to know that students err in ways of their own."""
    pictures = read_data_set(write_data(folder / f"{seed}.tar", per_class, seed=seed), CLASSES)
    numbers = range(len(pictures))
    return LabelledCrops(pictures.crops(numbers, [pictures.whole(n) for n in numbers], 16), pictures.labels)


@pytest.fixture(scope="module")
def train_and_test(tmp_path_factory: pytest.TempPathFactory) -> tuple[LabelledCrops, dict[str, LabelledCrops]]:
    folder = tmp_path_factory.mktemp("crops")
    return whole_images(folder, 3, 11), {"view": whole_images(folder, 60, 12)}


@pytest.mark.parametrize("labels", ["soft", "hard"])
def test_a_student_depends_on_its_seed_alone(
    config: EvaluateConfig, train_and_test: tuple[LabelledCrops, dict[str, LabelledCrops]], labels: str
) -> None:
    selection, views = train_and_test
    teacher = load_teacher(config.teacher)
    recipe = replace(config.recipe, steps=20)
    first, same, other = (
        train_student(selection, views, "convnet", 3, recipe, seed, teacher if labels == "soft" else None)[
            "view"
        ].accuracies
        for seed in (1, 1, 2)
    )
    assert first == same
    assert first != other


def test_soft_labels_are_the_teachers_and_not_the_files(
    config: EvaluateConfig, train_and_test: tuple[LabelledCrops, dict[str, LabelledCrops]]
) -> None:
    """Wrong labels do not change a student of soft labels, but one of hard labels."""
    selection, views = train_and_test
    teacher = load_teacher(config.teacher)
    wrong = replace(selection, labels=(selection.labels + 1) % 3)
    for labels, same in (("soft", True), ("hard", False)):
        right, otherwise = (
            train_student(s, views, "convnet", 3, config.recipe, 0, teacher if labels == "soft" else None)[
                "view"
            ].accuracies
            for s in (selection, wrong)
        )
        assert (right == otherwise) is same
        assert len(set(right)) > 1 or right[0] not in (0.0, 1 / 3, 1.0), "the student learned nothing to compare"


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("ipc", (0,), "--ipc must be a whole number from 1"),
        ("ipc", (), "--ipc"),
        ("pools", 0, "--pools must be"),
        ("recipe", "rate=nan", "--recipe rate must be a number above 0"),
        ("recipe", "cutmix=1.5", "--recipe cutmix must be"),
        ("labels", "firm", "soft and hard"),
        ("ipc", (99,), "99 images"),
        ("recipe", "colour=1", "temperature"),
        ("recipe", "steps=many", "no int"),
        ("recipe", "steps=1", "at least 2"),
        ("recipe", "precision=fp8", "bf16"),
        ("recipe", "crops=half", "tile or image"),
    ],
)
def test_flags_that_cannot_be_are_refused(flag: str, value: object, message: str) -> None:
    flags = {"store": Path(), "test": Path(), "out": Path(), "teacher": None, "methods": "rded", "students": "convnet"}
    flags |= {"labels": "soft", "ipc": (1,), "mosaic": "1", "recipe": "", "pool_size": 50}
    with pytest.raises(UsageError, match=message):
        config_of(flags | {flag: value})


def test_a_recipe_is_the_default_with_what_was_named_changed() -> None:
    assert recipe_of("steps=7, temperature=2") == replace(Recipe(), steps=7, temperature=2.0)
    assert recipe_of("") == Recipe()


@pytest.mark.parametrize("labels", ["soft", "hard"])
def test_bfloat16_learns_as_well_as_float32(
    config: EvaluateConfig, train_and_test: tuple[LabelledCrops, dict[str, LabelledCrops]], labels: str
) -> None:
    selection, views = train_and_test
    teacher = load_teacher(config.teacher)
    wide, narrow = (
        np.mean(
            [
                train_student(selection, views, "convnet", 3, r, s, teacher if labels == "soft" else None)["view"].last
                for s in range(3)
            ]
        )
        for r in (replace(config.recipe, precision=p) for p in ("fp32", "bf16"))
    )
    assert abs(wide - narrow) < 0.1
