"""How long the selection of a class takes at ImageNet's size, on synthetic features, and whether it is deterministic.

Owns this measurement. Must not know stores, images or networks: features are drawn. Every class is 1,300 patches of 1,280
float16 numbers around 12 directions, so that hdbscan finds clusters as it does on real classes.

    python -m selector.evaluation.selection_speed --classes 20
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import hdbscan
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

from selector.errors import SelectorError
from selector.selection.ordering import cluster_order

IMAGENET_CLASSES = 1_000
_DIRECTIONS = 12


def synthetic_class(
    patches: int, width: int, seed: int
) -> tuple[NDArray[np.float16], NDArray[np.float32], NDArray[np.str_]]:
    """Features float16 [n, width] at unit length, typicality float32 [n] and image ids <U16 [n], not sorted."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(_DIRECTIONS, width))
    spread = draw.uniform(0.3, 1.2, size=patches)[:, None]
    points = centres[draw.integers(_DIRECTIONS, size=patches)] + spread * draw.normal(size=(patches, width))
    features = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float16)
    ids = np.array([f"{number:016x}" for number in draw.permutation(patches)], dtype="<U16")
    return features, draw.normal(0.02, 0.01, patches).astype(np.float32), ids


def picks(
    features: NDArray[np.float16], typicality: NDArray[np.float32], ids: NDArray[np.str_], cache: Path | None
) -> list[str]:
    """Image ids in the default order."""
    made = cluster_order(cache)(features, typicality, ids, np.zeros(len(ids), dtype=np.int32), 0)
    if made.method != "hdbscan":
        raise SelectorError(f"the synthetic class was not clustered by hdbscan, so its time says nothing: {made.note}")
    return [str(name) for name in ids[made.permutation]]


def measure(classes: int, patches: int, width: int, threads: int) -> dict[str, Any]:
    """Processor seconds per class (medians after a warm-up), ratios, extrapolation to 1,000 classes and determinism."""
    first, cached = [], []
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(limits=threads):
        picks(*synthetic_class(patches, width, 10**6), None)
        for number in range(classes):
            made = synthetic_class(patches, width, number)
            first.append(_seconds(partial(picks, *made, Path(folder))))
            cached.append(_seconds(partial(picks, *made, Path(folder))))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    features = synthetic_class(patches, width, 0)[0].astype(np.float64)
    with threadpool_limits(limits=threads), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        default = _seconds(lambda: hdbscan.HDBSCAN(core_dist_n_jobs=threads).fit(features))
        clusters = round(np.sqrt(patches / 2))
        kmeans = _seconds(lambda: KMeans(clusters, n_init=4, random_state=0).fit(features))
    seconds, again = float(np.median(first)), float(np.median(cached))
    return {
        "classes_timed": classes,
        "patches": patches,
        "width": width,
        "threads": threads,
        "seconds_per_class": round(seconds, 4),
        "seconds_per_class_cached": round(again, 4),
        "seconds_for_1000_classes": round(seconds * IMAGENET_CLASSES, 1),
        "seconds_for_1000_classes_cached": round(again * IMAGENET_CLASSES, 1),
        "hdbscan_default_seconds": round(default, 3),
        "times_faster_than_hdbscan_default": round(default / seconds, 1),
        "kmeans_seconds": round(kmeans, 3),
        "times_faster_than_kmeans": round(kmeans / seconds, 1),
        "peak_memory_mib": round(peak),
        **determinism(patches, width),
    }


def determinism(patches: int, width: int) -> dict[str, bool]:
    """Whether permuted input and another number of BLAS threads give the same picks."""
    features, typicality, ids = synthetic_class(patches, width, 0)
    shuffle = np.random.default_rng(1).permutation(patches)
    with threadpool_limits(limits=1):
        one = picks(features, typicality, ids, None)
        permuted = picks(features[shuffle], typicality[shuffle], ids[shuffle], None)
    with threadpool_limits(limits=2):
        two = picks(features, typicality, ids, None)
    return {"same_when_permuted": one == permuted, "same_with_two_threads": one == two}


def _seconds(work: Callable[[], Any]) -> float:
    """Processor seconds, summed over threads: with one thread what an idle machine's clock would show."""
    started = time.process_time()
    work()
    return time.process_time() - started


@click.command()
@click.option(
    "--classes", default=20, show_default=True, help="Classes that are timed; 1000 are extrapolated from them."
)
@click.option("--patches", default=1300, show_default=True, help="Patches of a class.")
@click.option("--width", default=1280, show_default=True, help="Numbers of a feature.")
@click.option("--threads", default=1, show_default=True, help="Threads of BLAS and OpenMP.")
def main(classes: int, patches: int, width: int, threads: int) -> None:
    """Measure and print one JSON object."""
    click.echo(json.dumps(measure(classes, patches, width, threads), indent=1))


if __name__ == "__main__":
    main()
