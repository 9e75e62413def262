"""Calibrates a repository: a sample's windows by every draw of the bank → an order of draws, how many are enough, the centring.

Both are written into the configuration of the UNet's model and travel with the server. No graph and no plan changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format
from numpy.typing import NDArray

from client.contract import UNET, Identity, identity_parameters
from client.embedded.server import EmbeddedServer
from client.repository import read_config, read_identity
from client.scoring import ClientConfig, ScoringClient
from selector.calibration.centring import Centring, halves, judged_centring
from selector.calibration.maps import draw_maps
from selector.calibration.order import Calibration, contrasted, judged, weighted_windows
from selector.calibration.sample import Sampled, sample
from selector.config import ScoreConfig
from selector.errors import MismatchError, UsageError
from selector.folders.files import write_text
from selector.localisation.centring import NONE
from selector.localisation.choice import WindowSetting, setting_of
from selector.localisation.windows import window_grid
from selector.processes import run_in_loop
from selector.progress import Advance, Progress
from selector.scoring.asking import client_config

CALIBRATION_FILE = "calibration.json"
LEAST_IMAGES = 12
_IMAGES_AT_ONCE = 16


@dataclass(frozen=True)
class Calibrated:
    """What a calibration found. centring: None where the repository's was kept."""

    draws: Calibration
    centring: Centring | None

    def as_dict(self) -> dict[str, Any]:
        """As JSON values; the fields of `draws` stand at the top."""
        return asdict(self.draws) | {"centring": None if self.centring is None else asdict(self.centring)}


def calibrate(
    config: ScoreConfig, images: int, wanted: float, progress: Progress, *, keep_centring: bool = False
) -> Calibrated:
    """Measures an order, and whether windows are to be centred, on a sample of the data, and writes both into the repository.

    images: of the sample. wanted: agreement that `--draws auto` is to have. Raises UsageError for a rule or for too few
    usable images, MismatchError for servers of another repository or for folders that are no classes, ServerError.
    """
    identity = read_identity(config.repository)
    try:
        setting = setting_of(identity, rule_name=config.rule)
    except KeyError as error:
        raise UsageError(str(error.args[0])) from None
    sampled = sample(config, identity, images, progress)
    if len(sampled) < LEAST_IMAGES:
        raise UsageError(
            f"{config.data} gives {len(sampled)} usable images, a calibration needs {LEAST_IMAGES}: name more data, or more "
            "--images"
        )
    with _asked(config) as asked:
        found = run_in_loop(lambda: _measured(config, asked, identity, setting, sampled, progress))
    given = identity.draw_order if made_for_places(identity) else None
    if given is not None:
        progress.note("the repository's draws were made for their places: their order stands, their number is found")
    try:
        draws = judged([one.windows for one in found], wanted, setting.rule.name, given)
    except ValueError as error:
        raise UsageError(f"{config.data}: {error}") from None
    centring = None if keep_centring else judged_centring([one.halves for one in found], sampled, setting)
    calibrated = Calibrated(draws, centring)
    write(config.repository, identity, calibrated)
    return calibrated


def write(repository: Path, identity: Identity, found: Calibrated) -> None:
    """Writes what was found beside the model, then the order and the centring into its configuration; raises FileError."""
    folder = repository / UNET
    write_text(folder / CALIBRATION_FILE, json.dumps(found.as_dict(), indent=1) + "\n")
    config = read_config(repository, UNET)
    asked = replace(
        identity,
        draw_order=found.draws.order,
        auto_draws=found.draws.enough,
        centring=identity.centring if found.centring is None else found.centring.chosen,
    )
    for key in identity_parameters(identity)[UNET]:
        del config.parameters[key]  # a value that is the default has no parameter
    for key, text in identity_parameters(asked)[UNET].items():
        config.parameters[key].string_value = text
    write_text(folder / "config.pbtxt", text_format.MessageToString(config))


def made_for_places(identity: Identity) -> bool:
    """Whether the order is the bank's own and said all the same: so are draws that were optimised one after another."""
    return identity.draw_order == tuple(range(identity.draws))


def uncalibrated(identity: Identity) -> Identity:
    """The identity as it was exported."""
    return replace(identity, draw_order=(), auto_draws=0, centring=NONE)


@contextmanager
def _asked(config: ScoreConfig) -> Iterator[ClientConfig]:
    if config.servers:
        yield client_config(config)
        return
    with EmbeddedServer(config.repository, log=config.server_log, device=config.device) as server:
        yield client_config(config, server)


@dataclass(frozen=True)
class _Measured:
    """What is kept of an image's maps by every draw: see `weighted_windows` and `halves`."""

    windows: NDArray[np.float32]
    halves: NDArray[np.float32]


async def _measured(
    config: ScoreConfig,
    asked: ClientConfig,
    identity: Identity,
    setting: WindowSetting,
    sampled: list[Sampled],
    progress: Progress,
) -> list[_Measured]:
    async with ScoringClient(asked) as client, client.outages_told(progress.warn):
        if uncalibrated(client.identity) != uncalibrated(identity):
            raise MismatchError(
                f"the servers {', '.join(asked.servers)} serve another repository than {config.repository}: name the one that "
                "they serve"
            )
        with progress.stage("draws", 2 * identity.draws * len(sampled), "UNet rows") as advance:
            found: list[_Measured] = []
            for start in range(0, len(sampled), _IMAGES_AT_ONCE):
                part = sampled[start : start + _IMAGES_AT_ONCE]
                found += await _piece(client, identity, setting, part, start, advance)
            return found


async def _piece(
    client: ScoringClient,
    identity: Identity,
    setting: WindowSetting,
    part: list[Sampled],
    first: int,
    advance: Advance,
) -> list[_Measured]:
    class_ids = [one.class_id for one in part]
    turning = not made_for_places(identity)
    references = contrasted(
        setting.rule, class_ids, len(identity.classes), identity.draws, turning=turning, first=first
    )
    canvases, prompts = [one.canvas for one in part], [class_id + 1 for class_id in class_ids]
    maps = await draw_maps(client, canvases, prompts, references, range(identity.draws), advance)
    weights = setting.rule.weights(np.asarray(identity.timestep_weights, np.float32))
    taken = identity.taken(identity.draws)
    grids = [window_grid(identity.resolution, setting.middle_px, setting.stride_px, one.valid) for one in part]
    return [
        _Measured(weighted_windows(deltas, weights, grid), halves(deltas, weights, taken))
        for deltas, grid in zip(maps, grids, strict=True)
    ]
