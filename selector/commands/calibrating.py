"""selector calibrate: which draws are taken first, how many are enough, and centring. Work lies in selector/calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from client.ranges import real, whole
from selector.commands.configuration import finish, look_at_servers, score_config
from selector.commands.options import (
    class_names_option,
    device_option,
    exclude_option,
    fit_option,
    json_option,
    labels_options,
    min_side_option,
    number,
    option,
    rule_option,
    security_options,
    server_option,
)
from selector.commands.parameters import DATA, FOLDER, PATH
from selector.folders.files import check_file
from selector.images.class_names import read_class_names
from selector.images.locations import Data
from selector.progress import Progress

CALIBRATE_RANGES = {"images": whole(12, 1_000_000), "agreement": real(0, 1)}


@click.command()
@click.argument("data", type=DATA)
@option(
    "--repository",
    type=FOLDER,
    required=True,
    help="Triton repository whose order of draws and centring are chosen and written.",
)
@number("--images", ranges=CALIBRATE_RANGES, default=200, help="Images of the sample; a third is held out.")
@number(
    "--agreement",
    ranges=CALIBRATE_RANGES,
    default=0.9,
    help="What `--draws auto` is to have: correlation with the windows by all draws, on held-out images.",
)
@option(
    "--keep-centring",
    is_flag=True,
    help="Windows stay centred, or not, as the repository says; otherwise the sample decides.",
)
@server_option
@security_options
@option("--server-log", type=PATH, help="Where the embedded server logs; default: a temporary file.")
@device_option
@rule_option
@fit_option
@min_side_option
@class_names_option
@labels_options
@exclude_option
@json_option
def calibrate(
    data: Data, repository: Path, images: int, agreement: float, keep_centring: bool, as_json: bool, **flags: Any
) -> None:
    """Choose the order in which draws are taken, how many are enough, and the centring of windows, on a sample of DATA."""
    from client.contract import UNET
    from selector.calibration.calibrate import CALIBRATION_FILE
    from selector.calibration.calibrate import calibrate as choose
    from selector.calibration.table import figure, table

    config = score_config(flags | {"repository": repository}, data, repository)
    progress = Progress(quiet=as_json)
    check_file(repository / UNET / CALIBRATION_FILE, "--repository")
    if config.class_names is not None:
        read_class_names(config.class_names)
    look_at_servers(config.servers, config.security, progress)
    found = choose(config, images, agreement, progress, keep_centring=keep_centring)
    figure(found.draws, repository)
    finish(found.as_dict(), as_json, table(found, repository, served=bool(config.servers)))
