"""`selector merge` on the command line."""

from __future__ import annotations

from pathlib import Path

import click

from selector.commands.configuration import finish
from selector.commands.options import json_option, option
from selector.commands.parameters import FOLDER, PATH
from selector.folders.files import check_file, check_folder
from selector.progress import Progress


@click.command()
@click.argument("stores", type=FOLDER, nargs=-1, required=True, metavar="STORE...")
@option("--into", type=PATH, required=True, help="Folder of the store that they become; an existing one is added to.")
@option(
    "--keep-first",
    is_flag=True,
    help="Where stores have one image and differ by what kinds of GPUs differ in, take the first store's rows.",
)
@json_option
def merge(stores: tuple[Path, ...], into: Path, keep_first: bool, as_json: bool) -> None:
    """Join stores that were scored apart, as on machines without a shared folder, into one.

    They have to be of one configuration, and to agree on every image that several of them have.
    """
    check_folder(into, "--into")
    from selector.store.merging import merge as merge_all
    from selector.store.outcomes_table import outcomes_path

    check_file(outcomes_path(into), "--into")
    done = merge_all(stores, into, keep_first=keep_first, note=Progress(quiet=as_json).note)
    line = (
        f"{into}: {done.images} images and {done.patches} patches taken from {len(stores)} stores ({done.linked} commits linked, "
        f"{done.copied} copied, {done.rewritten} written anew); {done.equal} rows were equal in several"
    )
    if keep_first:
        line += f", {done.kept_first} within the tolerance, of which {done.other_windows} images have another window"
    finish(done.as_dict(), as_json, line)
