"""The evaluation: pools × methods × budgets × students, one run after another, then the tables.

Pools are the outermost loop, so that what is finished at any moment compares all methods on the same pools.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from selector.errors import SelectorError, UsageError
from selector.evaluation.architectures import ARCHITECTURES
from selector.evaluation.augmentation import tiled
from selector.evaluation.baselines import Judges
from selector.evaluation.methods import methods
from selector.evaluation.networks import digest, networks_of
from selector.evaluation.picks import Method, Pick
from selector.evaluation.pictures import Pictures, read_data_set
from selector.evaluation.plot import accuracy_over_ipc
from selector.evaluation.pools import Pool, resampled
from selector.evaluation.results import Results, RunKey, StudentRun
from selector.evaluation.settings import EvaluateConfig
from selector.evaluation.students import LabelledCrops, train_student
from selector.evaluation.tables import as_csv, as_markdown, as_records, lines
from selector.evaluation.teacher import Teacher
from selector.folders.files import write_text
from selector.images.datasets import list_items
from selector.images.listing import Listing
from selector.progress import Progress
from selector.records import PatchTable
from selector.store.fingerprint import is_unlabelled
from selector.store.store import Store
from selector.store.view import StoreView, view_store


@dataclass(frozen=True)
class Material:
    """What methods are compared on.

    patches: the scored patches that pools are drawn from; class_names: theirs, by class_id. test: class_id is the
    position of the class among the sorted class_ids. window: side of this system's windows as a share of the image's.
    """

    listing: Listing
    patches: PatchTable
    class_names: dict[int, str]
    test: Pictures
    window: float

    @property
    def names(self) -> list[str]:
        """Names of the classes in the order of their ids."""
        return [self.class_names[number] for number in sorted(self.class_names)]


@dataclass(frozen=True)
class _Bench:
    """What all runs share."""

    config: EvaluateConfig
    teacher: Teacher | None
    views: dict[str, LabelledCrops]
    results: Results


def evaluate(config: EvaluateConfig, progress: Progress) -> dict[str, Any]:
    """Runs what is not yet finished and writes the tables after every pool; returns the last ones as JSON values."""
    if config.test is None:
        raise UsageError(
            "evaluate needs --test DATA, labelled images that were not scored; --choose can hold some out itself"
        )
    listing, view = opened(config.store, config.data)
    names = [view.class_names[number] for number in sorted(view.class_names)]
    test = read_data_set(config.test, names)
    return compare(config, Material(listing, view.patches, view.class_names, test, window_share(view)), progress)


def compare(config: EvaluateConfig, material: Material, progress: Progress) -> dict[str, Any]:
    """As `evaluate`, on what was opened."""
    torch.set_num_threads(config.threads)
    _keep_freed_memory()
    _refuse_unknown(config)
    networks = networks_of(config, material.names, material.window, material.test, progress)
    views = views_of(material.test, config.recipe.side_px)
    conditions = config.conditions() | {
        "patches": digest(*(np.asarray(column) for column in vars(material.patches).values())),
        "test": digest(*(part for name in sorted(views) for part in (views[name].images, views[name].labels))),
    }
    bench = _Bench(config, networks.teacher, views, Results(config.out, conditions, networks.digests()))
    by_name = methods(networks.judges(config.recipe.side_px))
    pools = resampled(
        material.patches, material.class_names, material.listing, config.pools, config.pool_size, config.seed
    )
    wanted = [key for number in range(config.pools) for key in _keys(config, number)]
    missing = sum(not bench.results.has(key) for key in wanted)
    if missing < len(wanted):
        progress.note(f"{len(wanted) - missing} of {len(wanted)} students are trained already")
    result: dict[str, Any] = {}
    with progress.stage("students", missing, "runs") as advance:
        for pool in pools:
            for key in _keys(config, pool.number):
                if not bench.results.has(key):
                    bench.results.add(_one_run(bench, pool, key, by_name[key.method]))
                    advance(1)
            result = publish(config.out, bench.results.read(), config, {"teacher_accuracy": networks.accuracy})
    return result


def _refuse_unknown(config: EvaluateConfig) -> None:
    for what, asked, known in (
        ("students", config.students, ARCHITECTURES),
        ("methods", config.methods, methods(Judges(config.recipe.side_px))),
    ):
        strangers = [name for name in asked if name not in known]
        if strangers:
            raise UsageError(f"unknown {what} {', '.join(strangers)}; there are: {', '.join(known)}")


def _keep_freed_memory() -> None:
    """Lets glibc keep blocks below 32 MiB for the next step: its limit follows the largest one that was ever freed.

    Otherwise every batch's activations are mapped anew, page by page: a step took 48 ms instead of 30.
    """
    block = torch.empty(31 << 20, dtype=torch.uint8)
    del block


def opened(folder: Path, data: Path | None) -> tuple[Listing, StoreView]:
    """The listing of the scored images and the store seen through it. data: where they lie now, if not where they were."""
    store = Store.open(folder)
    if is_unlabelled(store.read_fingerprint()):
        raise SelectorError(f"{folder} was scored without labels, and an evaluation needs true ones")
    scored = store.read_data_root()
    root = data or scored.root
    if not root.exists():
        raise SelectorError(f"the images were scored at {root}, which is gone: name their new place (--data)")
    listing = list_items(root, labels=scored.labels)
    return listing, view_store(folder, listing)


def window_share(view: StoreView) -> float:
    """Side of a store's windows as a share of the image's."""
    return float(view.fingerprint["window_px"] / view.fingerprint["resolution"])


def _keys(config: EvaluateConfig, pool: int) -> list[RunKey]:
    several = product(config.ipc, config.students, config.labels, config.methods)
    return [RunKey(method, pool, ipc, student, labels) for ipc, student, labels, method in several]


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
        len(pool.class_names),
        config.recipe,
        pool.seed,
        bench.teacher if key.labels == "soft" else None,
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
    return LabelledCrops(tiled(pool.pictures.crops(numbers, boxes, side_px // 2)), labels[::mosaic], mosaics=True)


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
