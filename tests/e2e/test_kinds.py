"""The path of a user for every kind of denoiser: `selector export`, then `selector run` on ten images, to picks.

A further kind is a line in KINDS. Stable Diffusion 1.x is in test_own_checkpoint.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from client.embedded.wheel import embedded_problem
from client.repository import read_identity
from tests.e2e.command import manifest, picks, selector
from tests.tiny_dit import LABELS, write_dit
from tests.tiny_flux import write_flux
from tests.tiny_pixart import write_pixart_sigma
from tests.tiny_sana import write_sana
from tests.tiny_sd3 import write_sd3

pytestmark = [pytest.mark.server, pytest.mark.skipif(bool(embedded_problem()), reason=str(embedded_problem()))]
NAMES = ("bee", "cup", "kite")


@dataclass(frozen=True)
class Kind:
    """write: saves the pipeline. names: of its classes. given: whether they must be. dift: where its features are read."""

    write: Callable[[Path], Path]
    names: tuple[str, ...] = NAMES
    given: bool = True
    dift: str = "1@161"
    flags: tuple[object, ...] = ()


KINDS = {
    "dit": Kind(write_dit, tuple(LABELS.values()), given=False),
    "sd3": Kind(write_sd3),
    "pixart": Kind(write_pixart_sigma),
    "flux": Kind(write_flux, dift="2@161", flags=("--resolution", 32)),
    "sana": Kind(write_sana),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_with_a_pipeline_of_the_kind_ends_with_its_picks(kind: str, tmp_path: Path) -> None:
    made = KINDS[kind]
    names = made.names
    made.write(tmp_path / "pipeline")
    repository, listed = tmp_path / "repository", tmp_path / "classes.txt"
    listed.write_text("".join(f"{index}\t{name}\n" for index, name in enumerate(names)))
    flags = ("--draws", 8, "--max-batch", 8, *made.flags, *(("--classes", listed) if made.given else ()))
    done = selector("export", tmp_path / "pipeline", "--out", repository, *flags)
    assert "served and compared with its configs" in done.stderr
    identity = read_identity(repository)
    assert (identity.classes, identity.class_names) == (("0", "1", "2"), names)
    assert (identity.dift, identity.precision) == (made.dift, "fp32")
    rng = np.random.default_rng(0)
    for folder in ("0", "1"):  # ids are indices
        (tmp_path / "images" / folder).mkdir(parents=True)
        for number in range(5):
            pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / folder / f"{number}.png")
    selector(
        "run", tmp_path / "images", "--ipc", 3, "--repository", repository, "--draws", 4, "--out", tmp_path / "out"
    )
    chosen = picks(tmp_path / "out", 3)
    assert [(p["class_name"], p["rank"]) for p in chosen] == [(name, n) for name in names[:2] for n in range(3)]
    counts = manifest(tmp_path / "out", 3)["counts"]
    assert (counts["scored"], counts["failed"], counts["picked"]) == (10, 0, 6)
