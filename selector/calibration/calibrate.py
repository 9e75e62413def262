"""Calibrates a repository: a sample's windows by every draw of the bank → an order of draws and how many are enough.

The order is an indirection: it is written into the configuration of the UNet's model and travels with the server. No graph and
no plan changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from google.protobuf import text_format
from numpy.typing import NDArray

from client.contract import UNET, Identity, identity_parameters
from client.embedded.server import EmbeddedServer
from client.repository import read_config, read_identity
from client.scoring import ClientConfig, ScoringClient
from selector.calibration.maps import draw_maps
from selector.calibration.order import Calibration, contrasted, judged, weighted_windows
from selector.calibration.sample import Sampled, sample
from selector.config import ScoreConfig
from selector.errors import MismatchError, UsageError
from selector.folders.files import write_text
from selector.localisation.choice import WindowSetting, setting_of
from selector.localisation.windows import window_grid
from selector.processes import run_in_loop
from selector.progress import Advance, Progress
from selector.scoring.asking import client_config

CALIBRATION_FILE = "calibration.json"
LEAST_IMAGES = 12
_IMAGES_AT_ONCE = 16


def calibrate(config: ScoreConfig, images: int, wanted: float, progress: Progress) -> Calibration:
    """Measures an order on a sample of the data and writes it into the repository.

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
        windows = run_in_loop(lambda: _windows(config, asked, identity, setting, sampled, progress))
    given = identity.draw_order if made_for_places(identity) else None
    if given is not None:
        progress.note("the repository's draws were made for their places: their order stands, their number is found")
    try:
        found = judged(windows, wanted, setting.rule.name, given)
    except ValueError as error:
        raise UsageError(f"{config.data}: {error}") from None
    write(config.repository, identity, found)
    return found


def write(repository: Path, identity: Identity, found: Calibration) -> None:
    """Writes the table beside the model, then the order into its configuration; raises FileError."""
    folder = repository / UNET
    write_text(folder / CALIBRATION_FILE, json.dumps(asdict(found), indent=1) + "\n")
    config = read_config(repository, UNET)
    asked = replace(identity, draw_order=found.order, auto_draws=found.enough)
    for key, text in identity_parameters(asked)[UNET].items():
        config.parameters[key].string_value = text
    write_text(folder / "config.pbtxt", text_format.MessageToString(config))


def made_for_places(identity: Identity) -> bool:
    """Whether the order is the bank's own and said all the same: so are draws that were optimised one after another."""
    return identity.draw_order == tuple(range(identity.draws))


def uncalibrated(identity: Identity) -> Identity:
    """The identity as it was exported."""
    return replace(identity, draw_order=(), auto_draws=0)


@contextmanager
def _asked(config: ScoreConfig) -> Iterator[ClientConfig]:
    if config.servers:
        yield client_config(config)
        return
    with EmbeddedServer(config.repository, log=config.server_log, device=config.device) as server:
        yield client_config(config, server)


async def _windows(
    config: ScoreConfig,
    asked: ClientConfig,
    identity: Identity,
    setting: WindowSetting,
    sampled: list[Sampled],
    progress: Progress,
) -> list[NDArray[np.float32]]:
    async with ScoringClient(asked) as client, client.outages_told(progress.warn):
        if uncalibrated(client.identity) != uncalibrated(identity):
            raise MismatchError(
                f"the servers {', '.join(asked.servers)} serve another repository than {config.repository}: name the one that "
                "they serve"
            )
        with progress.stage("draws", 2 * identity.draws * len(sampled), "UNet rows") as advance:
            found: list[NDArray[np.float32]] = []
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
) -> list[NDArray[np.float32]]:
    class_ids = [one.class_id for one in part]
    turning = not made_for_places(identity)
    references = contrasted(
        setting.rule, class_ids, len(identity.classes), identity.draws, turning=turning, first=first
    )
    canvases, prompts = [one.canvas for one in part], [class_id + 1 for class_id in class_ids]
    maps = await draw_maps(client, canvases, prompts, references, range(identity.draws), advance)
    grids = [window_grid(identity.resolution, setting.middle_px, setting.stride_px, one.valid) for one in part]
    return [
        weighted_windows(deltas, setting.rule, identity.timestep_weights, grid)
        for deltas, grid in zip(maps, grids, strict=True)
    ]
