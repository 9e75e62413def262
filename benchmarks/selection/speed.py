"""How long selection takes at ImageNet's size, and whether it is deterministic: synthetic features in a store on disk.

Owns this measurement. Must not know images or networks. What is timed is what `selector select` calls: features are read
from the store's commits, orders come from the cache or are made, in this process and then in several.

    python -m benchmarks.selection.speed --classes 40
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import hdbscan
import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from benchmarks.selection.synthetic_store import synthetic_class, write_synthetic_store
from selector.errors import SelectorError
from selector.order_pool import default_processes, order_pool
from selector.records import PatchTable
from selector.selection.order_cache import OrderCache
from selector.selection.ordering import DEFAULT_ORDER
from selector.selection.selection import Selection, select

IMAGENET_CLASSES = 1_000
_TIMED_ALONE = 20
_FIRST_IPC, _FURTHER_IPC = 10, 50

_Choose = Callable[..., Selection]
"""`select` by the order that is measured."""


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock; processor seconds of all processes; the memory of the largest one started, in MiB."""

    clock: float
    processor: float
    peak_mib_elsewhere: int = 0


def measure(
    classes: int, patches: int, width: int, workers: int, threads: int, folder: Path, order: str = DEFAULT_ORDER
) -> dict[str, Any]:
    """All numbers of the table; a store of `classes` classes, and orders, are written into the folder."""
    choose = partial(select, order=order)
    store = write_synthetic_store(folder / "store", classes, patches, width)
    with threadpool_limits(limits=threads):
        table, opening = _timed(store.read_patches)
        timed = min(classes, _TIMED_ALONE)
        alone = _class_by_class(choose, table, timed, folder / "alone")
        references = _references(choose, patches, width, threads, alone["seconds_per_class"])
    return {
        "order": order,
        "classes_timed": timed,
        "patches": patches,
        "width": width,
        "threads": threads,
        **alone,
        **references,
        **_whole(choose, table, classes, workers, opening, folder),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        **determinism(choose, patches, width),
    }


def _class_by_class(choose: _Choose, table: PatchTable, classes: int, folder: Path) -> dict[str, float]:
    """Processor seconds per class in this process, medians after a warm-up: made, and read from the cache."""
    cache, first, cached = OrderCache(folder), [], []
    choose(_of_classes(table, 1), ["0"], _FIRST_IPC)
    for number in range(classes):
        own, name = table.take(table.class_id == number), {number: str(number)}
        made, spent = _timed(partial(choose, own, name, _FIRST_IPC, cache=cache))
        _expect(made, "hdbscan")
        first.append(spent.processor)
        _, spent = _timed(partial(choose, own, name, _FURTHER_IPC, cache=cache))
        cached.append(spent.processor)
    seconds, again = float(np.median(first)), float(np.median(cached))
    return {
        "seconds_per_class": round(seconds, 4),
        "seconds_per_class_cached": round(again, 5),
        "seconds_for_1000_classes": round(seconds * IMAGENET_CLASSES, 1),
        "seconds_for_1000_classes_cached": round(again * IMAGENET_CLASSES, 1),
    }


def _references(choose: _Choose, patches: int, width: int, threads: int, seconds: float) -> dict[str, float]:
    """On one class: hdbscan on raw features as it comes, and scikit-learn's k-means; our order if k-means takes over."""
    features = np.asarray(synthetic_class(patches, width, 0).features, np.float64)
    loose = synthetic_class(patches, width, 0, clustered=False)
    with threadpool_limits(limits=threads), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        _, default = _timed(lambda: hdbscan.HDBSCAN(core_dist_n_jobs=threads).fit(features))
        clusters = round(np.sqrt(patches / 2))
        _, kmeans = _timed(lambda: KMeans(clusters, n_init=4, random_state=0).fit(features))
        fallen, fallback = _timed(partial(choose, loose, ["0"], _FIRST_IPC))
    _expect(fallen, "kmeans")
    return {
        "seconds_per_class_without_clusters": round(fallback.processor, 4),
        "hdbscan_default_seconds": round(default.processor, 3),
        "times_faster_than_hdbscan_default": round(default.processor / seconds, 1),
        "kmeans_seconds": round(kmeans.processor, 3),
        "times_faster_than_kmeans": round(kmeans.processor / seconds, 1),
    }


def _whole(
    choose: _Choose, table: PatchTable, classes: int, workers: int, opening: Spent, folder: Path
) -> dict[str, Any]:
    """All classes of the store by several processes, first and further, and what 1,000 take by these."""
    few, share = max(1, classes // 4), IMAGENET_CLASSES / classes
    _, part = _in_processes(choose, table, few, _FIRST_IPC, workers, folder / "few")
    first, whole = _in_processes(choose, table, classes, _FIRST_IPC, workers, folder / "all")
    further, again = _in_processes(choose, table, classes, _FURTHER_IPC, workers, folder / "all")
    alone = choose(_of_classes(table, few), [str(number) for number in range(few)], _FIRST_IPC)
    return {
        "classes_on_disk": classes,
        "workers": workers,
        "load_average": round(os.getloadavg()[0], 1),
        "open_seconds": round(opening.clock, 2),
        f"first_seconds_of_{few}": round(part.clock, 2),
        f"first_seconds_of_{classes}": round(whole.clock, 2),
        f"first_processor_seconds_of_{few}": round(part.processor, 2),
        f"first_processor_seconds_of_{classes}": round(whole.processor, 2),
        f"further_seconds_of_{classes}": round(again.clock, 5),
        "open_seconds_for_1000_classes": round(opening.clock * share, 1),
        "open_processor_seconds_for_1000_classes": round(opening.processor * share, 1),
        "first_seconds_for_1000_classes": round(_extrapolated(part.clock, whole.clock, few, classes), 1),
        "first_processor_seconds_for_1000_classes": round(
            _extrapolated(part.processor, whole.processor, few, classes), 1
        ),
        "further_seconds_for_1000_classes": round(again.clock * share, 2),
        "further_processor_seconds_for_1000_classes": round(again.processor * share, 2),
        "for_1000_classes": _formula(few, classes),
        "peak_memory_of_a_worker_mib": whole.peak_mib_elsewhere,
        "further_is_nested": set(first.row.tolist()) <= set(further.row.tolist()),
        "same_with_several_processes": all(
            np.array_equal(alone.orders[number].permutation, first.orders[number].permutation) for number in range(few)
        ),
    }


def _extrapolated(part: float, whole: float, few: int, classes: int) -> float:
    """What 1,000 classes take, by the two measured points: the start of the processes is paid once."""
    return whole + (IMAGENET_CLASSES - classes) * (whole - part) / max(1, classes - few)


def _formula(few: int, classes: int) -> str:
    if classes == IMAGENET_CLASSES:
        return "measured"
    slope = f"(first({classes}) - first({few})) / {classes - few}"
    return f"first: first({classes}) + {IMAGENET_CLASSES - classes} * {slope}; open, further: times 1000 / {classes}"


def _in_processes(
    choose: _Choose, table: PatchTable, classes: int, ipc: int, workers: int, folder: Path
) -> tuple[Selection, Spent]:
    """A selection of the first so many classes, and what it took, the start of the processes included."""
    own, names, cache = _of_classes(table, classes), [str(number) for number in range(classes)], OrderCache(folder)
    clock, processor = time.perf_counter(), time.process_time()
    with order_pool(workers) as pool:
        made = choose(own, names, ipc, cache=cache, pool=pool)
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
        elsewhere, peak = _of_workers(pool)
    _expect(made, "hdbscan")
    return made, Spent(clock, processor + elsewhere, peak)


def _of_workers(pool: Executor | None) -> tuple[float, int]:
    """Processor seconds of all started processes together, and the most memory that one of them had, in MiB (Linux)."""
    seconds, peak = 0.0, 0
    for child in multiprocessing.active_children() if pool else []:
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        status = Path(f"/proc/{child.pid}/status").read_text()
        peak = max(peak, int(status.partition("VmHWM:")[2].split()[0]) // 1024)
    return seconds, peak


def determinism(choose: _Choose, patches: int, width: int) -> dict[str, bool]:
    """Whether permuted input and another number of BLAS threads give the same picks."""
    table = synthetic_class(patches, width, 0)
    shuffled = table.take(np.random.default_rng(1).permutation(patches))
    with threadpool_limits(limits=1):
        one, permuted = (_picks(choose, each) for each in (table, shuffled))
    with threadpool_limits(limits=2):
        two = _picks(choose, table)
    return {"same_when_permuted": one == permuted, "same_with_two_threads": one == two}


def _picks(choose: _Choose, table: PatchTable) -> list[str]:
    """Image ids of a class, class 0, in their order."""
    return [str(name) for name in table.image_id[choose(table, ["0"], len(table)).row]]


def _of_classes(table: PatchTable, classes: int) -> PatchTable:
    return table.take(table.class_id < classes)


def _expect(made: Selection, method: str) -> None:
    for order in made.orders.values():
        if order.method != method:
            raise SelectorError(
                f"a synthetic class was clustered by {order.method} ({order.note}): its time says nothing about {method}"
            )


def _timed(work: Callable[[], Any]) -> tuple[Any, Spent]:
    """What the work gives and takes. Processor seconds are summed over threads: with one, an idle machine's clock."""
    clock, processor = time.perf_counter(), time.process_time()
    made = work()
    return made, Spent(time.perf_counter() - clock, time.process_time() - processor)


@click.command()
@click.option("--classes", default=40, show_default=True, help="Classes on disk; 1000 are extrapolated from them.")
@click.option("--patches", default=1300, show_default=True, help="Patches of a class.")
@click.option("--width", default=1280, show_default=True, help="Numbers of a feature.")
@click.option("--workers", default=default_processes(), show_default=True, help="Processes that order classes.")
@click.option("--threads", default=1, show_default=True, help="Threads of BLAS and OpenMP in this process.")
@click.option("--order", default=DEFAULT_ORDER, show_default=True, help="Order of a class's patches.")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where the store is written; default: a temporary folder."
)
def main(classes: int, patches: int, width: int, workers: int, threads: int, order: str, folder: Path | None) -> None:
    """Measure and print one JSON object."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        click.echo(json.dumps(measure(classes, patches, width, workers, threads, Path(own), order), indent=1))


if __name__ == "__main__":
    main()
