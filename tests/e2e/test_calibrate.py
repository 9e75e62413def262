"""selector calibrate: the order is written, travels with the server, decides which rows are asked for, and is part of a store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from client.contract import UNET
from client.repository import read_config, read_identity
from export_scripts.repository.triton_config import write_config
from selector.builtin import builtin_repository, builtin_scenes
from selector.calibration.calibrate import uncalibrated
from selector.store.store import Store
from tests.e2e.command import manifest, selector

pytestmark = pytest.mark.server
SCORED = ("--limit-per-class", 3, "--ipc", 1)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A copy of the built-in repository without its order and its centring, and what the command says after it has chosen one."""
    repository = tmp_path_factory.mktemp("calibrated") / "repository"
    shutil.copytree(builtin_repository(), repository)
    config = read_config(repository, UNET)
    for name in ("draw_order", "auto_draws", "centring"):
        del config.parameters[name]
    write_config(config, repository / UNET)
    asked = ("--images", 24, "--agreement", 0.8, "--json")
    done = selector("calibrate", builtin_scenes(), "--repository", repository, *asked)
    return repository, json.loads(done.stdout)


def test_the_repository_carries_what_the_command_found(calibrated: tuple[Path, dict[str, object]]) -> None:
    repository, found = calibrated
    identity, exported = read_identity(repository), read_identity(builtin_repository())
    assert (list(identity.draw_order), identity.auto_draws) == (found["order"], found["enough"])
    assert sorted(identity.draw_order) == list(range(identity.draws))
    assert identity.draw_order != exported.taken(exported.draws)
    assert uncalibrated(identity) == uncalibrated(exported)
    assert json.loads((repository / UNET / "calibration.json").read_text()) == found
    assert (repository / UNET / "calibration.svg").read_text().count("<svg") == 1
    assert (found["chosen_on"], found["held_out"]) == (16, 8)
    assert found["centring"]["chosen"] == identity.centring == exported.centring == "contrast"  # type: ignore[index]


def test_a_run_takes_that_many_draws_in_that_order_and_a_store_keeps_to_it(
    calibrated: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    repository, found = calibrated
    selector("run", *SCORED, "--repository", repository, "--out", tmp_path)
    mark = Store.open(tmp_path / "store").read_fingerprint()
    assert mark["draws"] == found["enough"]
    assert mark["draw_order"] == found["order"][: mark["draws"]]  # type: ignore[index]
    assert manifest(tmp_path, 1)["fingerprint"]["draw_order"] == mark["draw_order"]
    refused = selector("run", *SCORED, "--draws", mark["draws"], "--out", tmp_path, code=5)
    assert "draw_order" in refused.stderr


def test_draws_that_were_made_for_their_places_keep_them_and_their_number_is_found(tmp_path: Path) -> None:
    repository = shutil.copytree(builtin_repository(), tmp_path / "repository")
    done = selector(
        "calibrate", builtin_scenes(), "--repository", repository, "--images", 20, "--agreement", 0.8, "--keep-centring"
    )
    assert "their order stands" in done.stderr
    identity = read_identity(repository)
    assert identity.centring == "contrast"
    assert "windows are" not in done.stdout
    assert identity.draw_order == tuple(range(identity.draws))
    assert 1 <= identity.auto_draws < read_identity(builtin_repository()).auto_draws
    assert f"{identity.auto_draws} draws are the fewest that agree by 0.8" in done.stdout
