"""The evaluation: pools × methods × budgets × students, one run after another, then the tables.

Pools are the outermost loop, so that what is finished at any moment compares all methods on the same pools.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from selector.errors import SelectorError, UsageError
from selector.evaluation.architectures import ARCHITECTURES
from selector.evaluation.augmentation import tiled
from selector.evaluation.methods import Method, Pick, methods
from selector.evaluation.pictures import Pictures, read_data_set, read_pictures
from selector.evaluation.plot import accuracy_over_ipc
from selector.evaluation.pools import Pool, resampled
from selector.evaluation.results import Results, RunKey, StudentRun
from selector.evaluation.settings import EvaluateConfig
from selector.evaluation.students import LabelledCrops, train_student
from selector.evaluation.tables import as_csv, as_markdown, as_records, lines
from selector.evaluation.teacher import Teacher, check_teacher, held_out, load_teacher, save_teacher, train_teacher
from selector.folders.files import write_text
from selector.images.class_names import match_classes
from selector.images.datasets import list_items
from selector.images.listing import Listing
from selector.progress import Progress
from selector.store.fingerprint import is_unlabelled
from selector.store.store import Store
from selector.store.view import StoreView, view_store


@dataclass(frozen=True)
class _Bench:
    """What all runs share."""

    config: EvaluateConfig
    teacher: Teacher
    views: dict[str, LabelledCrops]
    results: Results


def evaluate(config: EvaluateConfig, progress: Progress) -> dict[str, Any]:
    """Runs what is not yet finished and writes the tables after every pool; returns the last ones as JSON values."""
    torch.set_num_threads(config.threads)
    _keep_freed_memory()
    unknown = [name for name in config.students if name not in ARCHITECTURES]
    if unknown:
        raise UsageError(f"unknown students {', '.join(unknown)}; there are: {', '.join(ARCHITECTURES)}")
    listing, view = _opened(config)
    names = [view.class_names[number] for number in sorted(view.class_names)]
    test = read_data_set(config.test, names)
    teacher, accuracy = _checked_teacher(config, view, names, test, progress)
    views = views_of(test, config.recipe.side_px)
    conditions = config.conditions() | {
        "patches": _digest(*(np.asarray(column) for column in vars(view.patches).values())),
        "test": _digest(*(part for name in sorted(views) for part in (views[name].images, views[name].labels))),
        "teacher": _digest(*(value.numpy() for value in teacher.network.state_dict().values())),
    }
    bench = _Bench(config, teacher, views, Results(config.out, conditions))
    by_name = methods(teacher.confidence, teacher.side_px)
    strangers = [name for name in config.methods if name not in by_name]
    if strangers:
        raise UsageError(f"unknown methods {', '.join(strangers)}; there are: {', '.join(by_name)}")
    pools = resampled(view.patches, view.class_names, listing, config.pools, config.pool_size, config.seed)
    each = len(config.methods) * len(config.ipc) * len(config.students) * len(config.labels)
    result: dict[str, Any] = {}
    with progress.stage("students", config.pools * each, "runs") as advance:
        for pool in pools:
            for key in _keys(config, pool.number):
                if not bench.results.has(key):
                    bench.results.add(_one_run(bench, pool, key, by_name[key.method]))
                advance(1)
            result = publish(config.out, bench.results.read(), config, {"teacher_accuracy": accuracy})
    return result


def _keep_freed_memory() -> None:
    """Lets glibc keep blocks below 32 MiB for the next step: its limit follows the largest one that was ever freed.

    Otherwise every batch's activations are mapped anew, page by page: a step took 48 ms instead of 30.
    """
    block = torch.empty(31 << 20, dtype=torch.uint8)
    del block


def _opened(config: EvaluateConfig) -> tuple[Listing, StoreView]:
    store = Store.open(config.store)
    if is_unlabelled(store.read_fingerprint()):
        raise SelectorError(f"{config.store} was scored without labels, and an evaluation needs true ones")
    scored = store.read_data_root()
    root = config.data or scored.root
    if not root.exists():
        raise SelectorError(f"the images were scored at {root}, which is gone: name their new place (--data)")
    listing = list_items(root, labels=scored.labels)
    return listing, view_store(config.store, listing)


def _digest(*arrays: NDArray[Any]) -> str:
    """16 hex digits of the arrays' values."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update("\n".join(map(str, array)).encode() if array.dtype == object else array.tobytes())
    return digest.hexdigest()


def _keys(config: EvaluateConfig, pool: int) -> list[RunKey]:
    several = product(config.ipc, config.students, config.labels, config.methods)
    return [RunKey(method, pool, ipc, student, labels) for ipc, student, labels, method in several]


def _checked_teacher(
    config: EvaluateConfig, view: StoreView, names: Sequence[str], test: Pictures, progress: Progress
) -> tuple[Teacher, dict[str, float]]:
    """The teacher, loaded or trained, with its accuracy on what it was checked with.

    Checked with the held-out tenth of the teacher's data; with the test set if only a file is given (nothing is chosen
    by that, but it may stop the evaluation).
    """
    held = test if config.teacher_data is None else _held_out_pictures(config.teacher_data, names)
    if not config.teacher.exists():
        if config.teacher_data is None:
            raise UsageError(f"{config.teacher} is not there: pass --teacher-data to train the teacher")
        pictures = read_data_set(config.teacher_data, names)
        window = view.fingerprint["window_px"] / view.fingerprint["resolution"]
        with progress.stage("teacher", config.teacher_steps, "steps") as advance:
            teacher = train_teacher(
                pictures,
                names,
                architecture=config.teacher_architecture,
                side_px=config.recipe.side_px,
                window=window,
                steps=config.teacher_steps,
                seed=config.seed,
                advance=advance,
            )
        save_teacher(teacher, config.teacher)
    teacher = load_teacher(config.teacher)
    if teacher.side_px != config.recipe.side_px:
        raise UsageError(f"the teacher sees {teacher.side_px} px, the students {config.recipe.side_px} px")
    accuracy = check_teacher(teacher, names, held, config.least_accuracy)
    progress.note(f"teacher: {accuracy:.1%} of {len(held)} objects that it was not trained on")
    return teacher, {"test" if config.teacher_data is None else "held out": accuracy}


def _held_out_pictures(root: Path, names: Sequence[str]) -> Pictures:
    listing = list_items(root)
    class_ids = match_classes(listing.folders, names)
    held = zip(listing.pairs(), held_out(len(listing)), strict=True)
    return read_pictures(listing, {source: class_ids[folder] for (source, folder), kept in held if kept})


def views_of(test: Pictures, side_px: int) -> dict[str, LabelledCrops]:
    """The whole images as "whole" and, if every test image has a true box, these as "object"."""
    numbers = range(len(test))
    whole = test.crops(numbers, [test.whole(n) for n in numbers], side_px)
    views = {"whole": LabelledCrops(whole, test.labels)}
    boxes = [box for box in test.boxes if box is not None]
    if len(boxes) == len(test):
        views["object"] = LabelledCrops(test.crops(numbers, boxes, side_px), test.labels)
    return views


def _one_run(bench: _Bench, pool: Pool, key: RunKey, method: Method) -> StudentRun:
    """Trains one student; its seed is the pool's, the same for every method."""
    config = bench.config
    picks = method(pool, key.ipc * config.mosaic)
    started = time.process_time()
    tested = train_student(
        training_images(pool, picks, config.mosaic, config.recipe.side_px),
        bench.views,
        key.student,
        key.labels,
        config.recipe,
        bench.teacher,
        pool.seed,
    )
    return StudentRun(
        key=key,
        seed=pool.seed,
        last={name: view.last for name, view in tested.items()},
        best={name: view.best for name, view in tested.items()},
        steps=list(next(iter(tested.values())).steps),
        curve={name: list(view.accuracies) for name, view in tested.items()},
        seconds=round(time.process_time() - started, 2),
    )


def training_images(pool: Pool, picks: Sequence[Pick], mosaic: int, side_px: int) -> LabelledCrops:
    """The picks as training images: each by itself, or four of a class as the quarters of one."""
    numbers, boxes = [pick.picture for pick in picks], [pick.box for pick in picks]
    labels = pool.pictures.labels[np.asarray(numbers, dtype=np.int64)]
    if mosaic == 1:
        return LabelledCrops(pool.pictures.crops(numbers, boxes, side_px), labels)
    return LabelledCrops(tiled(pool.pictures.crops(numbers, boxes, side_px // 2)), labels[::mosaic])


def publish(out: Path, runs: Sequence[StudentRun], config: EvaluateConfig, about: Mapping[str, Any]) -> dict[str, Any]:
    """Writes results.md, results.csv, results.json and one plot for each view, student and kind of labels."""
    table = lines(runs, config.reference, config.methods)
    result = {**about, "reference": config.reference, "runs": len(runs), "table": as_records(table)}
    write_text(out / "results.md", as_markdown(table, config.reference))
    write_text(out / "results.csv", as_csv(table))
    write_text(out / "results.json", json.dumps(result, indent=1))
    for view, student, labels in dict.fromkeys((x.group.view, x.group.student, x.group.labels) for x in table):
        own = [x for x in table if (x.group.view, x.group.student, x.group.labels) == (view, student, labels)]
        title = f"{view} view, {student}, {labels} labels"
        write_text(out / f"accuracy-{view}-{student}-{labels}.svg", accuracy_over_ipc(own, title))
    return result
