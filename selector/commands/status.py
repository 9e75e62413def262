"""How far the scoring of a store is, on the command line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from selector.commands.configuration import finish
from selector.commands.options import json_option, option
from selector.commands.parameters import FOLDER

_PAUSE_S = 2.0


@click.command()
@option("--store", type=FOLDER, required=True, help="Folder of a store.")
@option("--watch", is_flag=True, help="Again every two seconds, until everything is done.")
@json_option
def status(store: Path, watch: bool, as_json: bool) -> None:
    """Say how far the scoring of a store is, and who works on it."""
    from selector.store.state import state

    while True:
        found = state(store)
        if watch and not as_json:
            click.clear()
        finish(found, as_json, "\n".join(_lines(found)))
        if not watch or found["left"] == 0:
            return
        time.sleep(_PAUSE_S)


def _lines(found: dict[str, Any]) -> list[str]:
    images, shards, rate = found["images"], found["shards"], found["unet_rows_per_second"]
    listed = "?" if images["listed"] is None else f"{images['listed']:,}"
    table = [
        (
            "images",
            f"{images['done']:,} of {listed} done, {images['failed']:,} failed, {images['filtered']:,} filtered",
        ),
        ("features", f"{images['described']:,} of {images['scored']:,} scored images"),
        ("shards", f"{shards['images']:,} of typicality, {shards['patches']:,} of features"),
        ("speed", "not known yet" if rate is None else f"{rate:,.1f} UNet rows a second in the last minutes"),
        ("time left", "not known yet" if found["eta_s"] is None else _span(found["eta_s"])),
    ]
    for one in found["writers"]:
        held = ", ".join(one["shards"]) or "no shard"
        part = f", part {one['part']}" if one["part"] else ""
        table.append(("in work", f"{held}: {one['who']}{part}, since {_span(one['for_s'])}"))
    return [f"{name:<10} {told}" for name, told in table]


def _span(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s" if rest >= 60 else f"{rest} s"
