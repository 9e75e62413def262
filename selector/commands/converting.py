"""`selector convert` on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from selector.commands.configuration import finish
from selector.commands.export_options import format_options
from selector.commands.options import json_option, wait_option
from selector.commands.parameters import FOLDER
from selector.folders.files import check_folder
from selector.output.metadata import read_metadata
from selector.progress import Progress


@click.command()
@click.argument("folder", type=FOLDER)
@format_options(None)
@wait_option
@json_option
def convert(folder: Path, metadata: Path | None, as_json: bool, **flags: Any) -> None:
    """Write further formats of a selection (OUT/ipc-N), without its store and the original images.

    What is not named stays as the folder has it. The formats that lie there stay too.
    """
    known = read_metadata(metadata) if metadata else None
    check_folder(folder.resolve().parent, "FOLDER")
    from selector.output.convert import Conversion
    from selector.output.convert import convert as convert_all

    made = convert_all(folder, Conversion(**flags, metadata=known), Progress(quiet=as_json).note)
    finish(made, as_json, f"{folder}: {', '.join(flags['formats'])} of {made['handed_out']} images")
