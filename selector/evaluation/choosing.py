"""`selector evaluate --choose`: a small evaluation on one's own scored data that says which --take and --order to use there.

Students are small, labels are hard, and no teacher is needed. The test images are given, or held out of the scored ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.errors import UsageError
from selector.evaluation.evaluate import Material, compare, opened, window_share
from selector.evaluation.pictures import Pictures, labels_of, read_pictures
from selector.evaluation.results import StudentRun, read_runs
from selector.evaluation.settings import EvaluateConfig, Recipe, recipe_of
from selector.evaluation.verdicts import DEFAULT, METHODS, Verdict, decide
from selector.folders.files import write_text
from selector.images.listing import Listing
from selector.progress import Progress
from selector.records import PatchTable
from selector.store.view import StoreView

LEAST_POOLS = 4
_CLASSES = 20
_IMAGES = 1000  # of all classes together, in a pool and in the test set
_HELD_OUT = 5  # one scored image in so many, without --test
_CHOICE = 2  # a pool has so many times the images that are taken of it
_LARGEST_PX = 64
_HALVED_PX = 48  # from this side on, the student's first convolution halves it
_STEPS = 300
_VIEWS = {"whole": "tested on whole images", "object": "tested on object crops"}


@dataclass(frozen=True)
class ChooseConfig:
    """What --choose was asked for. ipc: () for 10, or as many as a small class allows. recipe, students: "" for its own."""

    store: Path
    out: Path
    test: Path | None = None
    data: Path | None = None
    ipc: tuple[int, ...] = ()
    pools: int = 6
    students: str = ""
    recipe: str = ""
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        if self.pools < LEAST_POOLS:
            raise UsageError(f"--choose needs at least --pools {LEAST_POOLS}: fewer tell no difference")
        recipe_of(self.recipe)


def choose(config: ChooseConfig, progress: Progress) -> dict[str, Any]:
    """Trains what is not yet trained; returns tables and verdicts as JSON values, also written to choice.json."""
    material = _material(config, progress)
    sizes = sizes_for(_counts(material.patches, material.class_names), config.ipc, config.pools)
    for note in sizes.notes:
        progress.note(note)
    side_px = _side_px(material.test)
    students = config.students or ("convnet-s2" if side_px >= _HALVED_PX else "convnet")
    asked = EvaluateConfig(
        store=config.store,
        test=config.test,
        out=config.out,
        teacher=config.out / "teacher.pt",
        methods=tuple(METHODS.values()),
        reference=METHODS[DEFAULT],
        ipc=sizes.ipc,
        pools=config.pools,
        pool_size=sizes.pool,
        students=tuple(part.strip() for part in students.split(",") if part.strip()),
        labels=("hard",),
        seed=config.seed,
        threads=config.threads,
        recipe=recipe_of(config.recipe, Recipe(side_px=side_px, steps=_STEPS)),
    )
    whence = "held out" if config.test is None else f"of {config.test}"
    progress.note(
        f"{len(METHODS)} methods on {config.pools} pools of {sizes.pool} images of each of {len(material.class_names)} "
        f"classes, tested on {len(material.test)} images {whence}; students see {asked.recipe.side_px} px"
    )
    result = compare(asked, material, progress)
    verdicts = _verdicts(read_runs(config.out), asked)
    result["choice"] = [{**about, **verdict.record()} for about, verdict in verdicts]
    result["notes"] = list(sizes.notes)
    write_text(config.out / "choice.json", json.dumps(result, indent=1))
    return result


def told(result: Mapping[str, Any]) -> str:
    """The verdicts of a result in plain words, with intervals."""
    parts = []
    several = len({choice["student"] for choice in result["choice"]}) > 1
    for choice in result["choice"]:
        student = f", {choice['student']}" if several else ""
        parts.append(f"IPC {choice['ipc']}, {_VIEWS[choice['view']]}{student}: {choice['words']}")
        parts += [f"  {comparison['words']}" for comparison in choice["comparisons"]]
    wanted = dict.fromkeys(f"--take {choice['take']} --order {choice['order']}" for choice in result["choice"])
    if len(wanted) > 1:
        parts.append("It depends: take the line that is most like how your models will be trained and tested.")
    return "\n".join([*parts, *(f"Note: {note}" for note in result["notes"])])


@dataclass(frozen=True)
class Sizes:
    """ipc, and the images of a class in a pool. notes: what had to give way."""

    ipc: tuple[int, ...]
    pool: int
    notes: tuple[str, ...]


def sizes_for(counts: Mapping[str, int], asked: tuple[int, ...], pools: int) -> Sizes:
    """What a data set of so many images of each class, by its name, allows. asked: --ipc, if it was given."""
    name, least = min(counts.items(), key=lambda item: item[1])
    if least < _CHOICE * max(asked or (1,)):
        lower = f"ask for --ipc {least // _CHOICE} or less, or " if least >= _CHOICE else ""
        raise UsageError(
            f"class {name} has {least} scored images for pools, and --choose needs {_CHOICE * max(asked or (1,))}, "
            f"{_CHOICE} times as many as are taken: {lower}score more of it"
        )
    ipc = asked or (min(10, least // _CHOICE),)
    notes = []
    if not asked and ipc[0] < 10:
        notes.append(f"--ipc is {ipc[0]}, since class {name} has {least} scored images for pools alone")
    pool = max(_CHOICE * max(ipc), min(least // pools, _IMAGES // len(counts)))
    if pool * pools > least:
        notes.append(
            f"pools share images ({least} for {pools} pools of {pool}), so intervals are narrower than they should be"
        )
    return Sizes(ipc, pool, tuple(notes))


def _material(config: ChooseConfig, progress: Progress) -> Material:
    listing, view = opened(config.store, config.data)
    names = _some(view.class_names, config.seed)
    if len(names) < len(view.class_names):
        progress.note(f"{len(names)} of {len(view.class_names)} classes, drawn at random, stand for all")
    patches = view.patches.take(np.isin(view.patches.class_id, sorted(names)))
    if config.test is None:
        patches, test = _held_out(patches, names, listing, config.seed)
    else:
        test = _test_set(config.test, view, names, config.seed)
    return Material(listing, patches, names, test, window_share(view))


def _some(class_names: Mapping[int, str], seed: int) -> dict[int, str]:
    numbers = sorted(class_names)
    drawn = np.random.default_rng([seed, 1]).permutation(numbers)[:_CLASSES]
    return {number: class_names[number] for number in sorted(drawn.tolist())}


def _held_out(patches: PatchTable, names: dict[int, str], listing: Listing, seed: int) -> tuple[PatchTable, Pictures]:
    """The patches without those of one image in five of every class, and these images."""
    held: list[NDArray[np.int64]] = []
    first = np.flatnonzero(patches.patch_rank == 0)
    for class_id in sorted(names):
        rows = first[patches.class_id[first] == class_id]
        rows = rows[np.argsort(patches.image_id[rows])]
        count = min(max(1, len(rows) // _HELD_OUT), _share(names))
        held.append(np.random.default_rng([seed, 2, class_id]).permutation(rows)[: count if len(rows) > 1 else 0])
    taken = patches.image_id[np.concatenate(held)]
    labels = {str(patches.source[row]): place for place, rows in enumerate(held) for row in rows}
    return patches.take(~np.isin(patches.image_id, taken)), read_pictures(listing, labels)


def _test_set(root: Path, view: StoreView, names: dict[int, str], seed: int) -> Pictures:
    """Of every class that is compared some images of the given test set."""
    numbers = sorted(view.class_names)
    listing, class_ids = labels_of(root, [view.class_names[number] for number in numbers])
    by_class: dict[int, list[str]] = {}
    for source, position in sorted(class_ids.items()):
        by_class.setdefault(numbers[position], []).append(source)
    labels: dict[str, int] = {}
    for place, class_id in enumerate(sorted(names)):
        drawn = np.random.default_rng([seed, 3, class_id]).permutation(by_class[class_id])[: _share(names)]
        labels |= {str(source): place for source in drawn}
    return read_pictures(listing, labels)


def _share(names: Mapping[int, str]) -> int:
    return max(1, _IMAGES // len(names))


def _counts(patches: PatchTable, names: Mapping[int, str]) -> dict[str, int]:
    first = patches.class_id[patches.patch_rank == 0]
    return {name: int(np.sum(first == number)) for number, name in names.items()}


def _side_px(pictures: Pictures) -> int:
    """The students' side: that of the images, at most 64 px, a multiple of 4."""
    shorter = np.median([min(image.shape[:2]) for image in pictures.images])
    return max(16, min(_LARGEST_PX, int(shorter) // 4 * 4))


def _verdicts(runs: list[StudentRun], config: EvaluateConfig) -> list[tuple[dict[str, Any], Verdict]]:
    """A verdict for each view, IPC and student that was asked for."""
    found = []
    views = list(runs[0].last)
    for view, ipc, student in ((v, i, s) for v in views for i in config.ipc for s in config.students):
        by_method: dict[str, NDArray[np.float64]] = {}
        for method in METHODS.values():
            own = {
                run.key.pool: run.last[view]
                for run in runs
                if (run.key.method, run.key.ipc, run.key.student) == (method, ipc, student)
            }
            by_method[method] = np.array([100 * own[pool] for pool in range(config.pools)])
        found.append(({"view": view, "ipc": ipc, "student": student, "pools": config.pools}, decide(by_method)))
    return found
