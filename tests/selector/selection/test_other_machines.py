"""Orders on other machines: OpenBLAS with the kernels of other processors, numpy without vector instructions."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from threadpoolctl import threadpool_info

from benchmarks.selection.synthetic_store import synthetic_class
from selector.selection.class_patches import ClassPatches
from selector.selection.distances import FeatureSpace
from selector.selection.facility_location import FacilityLocation
from selector.selection.selection import select
from selector.selection.strategies import STRATEGIES

ROOT = Path(__file__).parents[3]
VECTORS = [name for name in ("FMA3", "AVX2", "AVX512F") if name in __cpu_dispatch__ and __cpu_features__[name]]


def kernels() -> list[str]:
    return [str(library.get("architecture")) for library in threadpool_info() if library["user_api"] == "blas"]


def orders() -> dict[str, str]:
    """A hash of every order of one class with clusters, and of one in which k-means must do."""
    hashes = {}
    for clustered in (True, False):
        table = synthetic_class(300, 640, 3, clustered=clustered)
        for name in STRATEGIES:
            made = select(table, {3: "a class"}, 1, order=name).orders[3]
            columns = (made.permutation, made.cluster_label, made.membership)
            content = b"".join(column.tobytes() for column in columns)
            hashes[f"{name}, {made.method}"] = hashlib.blake2b(content, digest_size=8).hexdigest()
        table = table.take(np.argsort(table.image_id))
        patches = ClassPatches(
            FeatureSpace(table.features, 100), table.typicality.astype(np.float64), table.patch_rank == 0, 0
        )
        rows = FacilityLocation(open_limit=2_000)(patches)[0]
        hashes[f"by blocks, clustered {clustered}"] = hashlib.blake2b(rows.tobytes(), digest_size=8).hexdigest()
    return hashes


@pytest.mark.skipif(not any(kernels()), reason="numpy's BLAS here has no choice of kernels")
@pytest.mark.parametrize("kernel", ["Prescott", "Nehalem"])
def test_another_processors_kernels_give_the_same_orders(kernel: str) -> None:
    there = subprocess.run(
        [sys.executable, "-m", "tests.selector.selection.test_other_machines"],
        env=os.environ | {"OPENBLAS_CORETYPE": kernel, "NPY_DISABLE_CPU_FEATURES": " ".join(VECTORS)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = json.loads(there.stdout)
    assert found["orders"] == orders()
    assert not set(found["kernels"]) & set(kernels()), "the other process used this machine's kernels"


if __name__ == "__main__":
    print(json.dumps({"orders": orders(), "kernels": kernels()}))
