"""From parsed flags to configuration objects, and from a command's result to its output and exit code."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from client.errors import ServerError
from client.wire import Security, SecurityError, headers_from
from selector.builtin import builtin_repository, builtin_scenes
from selector.config import ExportConfig, ScoreConfig, SelectConfig
from selector.errors import UsageError
from selector.folders.files import check_file, check_folder
from selector.images.class_names import read_class_names
from selector.images.labels import Labels
from selector.images.locations import Data
from selector.output.metadata import read_metadata
from selector.progress import Progress

LABELS = ("label_key", "image_key", "list_file")
"""The parameters that make `Labels`."""


def security_of(flags: dict[str, Any]) -> Security:
    """A secret comes from a file or from this one variable, never from an argument, which any process list shows.

    Raises UsageError if one of the files can't be used.
    """
    try:
        headers = headers_from(flags["header_file"], os.environ.get("SELECTOR_HEADER"))
        security = Security(flags["tls_ca"], flags["tls_cert"], flags["tls_key"], headers)
        security.certificates()
    except SecurityError as error:
        raise UsageError(str(error)) from None
    return security


def look_at_servers(servers: tuple[str, ...], security: Security, progress: Progress) -> None:
    """Raises UsageError if an address leads nowhere or to something else than a Triton server's gRPC port."""
    if servers:
        from client.wire import look_at

        try:
            look_at(servers, security, progress.note)
        except ServerError as error:
            raise UsageError(str(error)) from None


def check_scoring(config: ScoreConfig, progress: Progress) -> None:
    """What can be known to fail is refused before a row is spent: places that can't be written to, addresses, draws."""
    check_folder(config.store, "--store")
    if config.server_log is not None:
        check_file(config.server_log, "--server-log")
    if config.class_names is not None:
        read_class_names(config.class_names)
    look_at_servers(config.servers, config.security, progress)
    if config.known_repository is not None:
        from client.repository import read_identity
        from selector.scoring.settings import settings_of

        settings_of(read_identity(config.known_repository), config)
    from selector.store.outcomes_table import outcomes_path

    check_file(outcomes_path(config.store), "--store")


def score_config(flags: dict[str, Any], data: Data | None, store: Path) -> ScoreConfig:
    """What the scoring options ask for; without data, the built-in scenes. Raises UsageError."""
    names = set(ScoreConfig.__dataclass_fields__) & set(flags)
    values = {name: flags[name] for name in names}
    values["servers"] = flags["servers"] or ()
    values["security"] = security_of(flags)
    values["labels"] = labels_of(flags) or Labels()
    values["repository"] = flags["repository"] or builtin_repository()
    values["said"] = flags["repository"] if values["servers"] else None
    return ScoreConfig(data=data or builtin_scenes(), store=store, **values)


def selection_config(flags: dict[str, Any], ipc: int, out: Path) -> SelectConfig:
    """What the selection and export options ask for; raises UsageError."""
    names = set(SelectConfig.__dataclass_fields__) & set(flags)
    return SelectConfig(
        ipc=ipc, out=out, labels=labels_of(flags), export=_export_config(flags), **{name: flags[name] for name in names}
    )


def _export_config(flags: dict[str, Any]) -> ExportConfig:
    values = {name: flags[name] for name in ExportConfig.__dataclass_fields__}
    return ExportConfig(**values | {"metadata": read_metadata(flags["metadata"]) if flags["metadata"] else {}})


def labels_of(flags: dict[str, Any]) -> Labels | None:
    """How labels are found, if anything was asked for."""
    given = {name: flags[name] for name in LABELS if flags[name]}
    return Labels(**given) if given else None


def finish(result: dict[str, Any], as_json: bool, line: str) -> None:
    """Prints the result as one JSON object, or the line that sums it up."""
    click.echo(json.dumps(result, indent=2) if as_json else line)


def check_failures(config: ScoreConfig, counts: dict[str, int], told_in: str) -> None:
    """Ends with exit code 3 if more files failed, were passed over or could not be read than --max-failed allows.

    told_in: what names each of them, as the subject of a sentence in the plural.
    """
    files = counts["seen"] + counts["passed_over"] + counts["unread"]
    allowed = config.failed_allowed(files)
    lost = {
        "failed": counts["failed"],
        "were passed over": counts["passed_over"],
        "could not be read": counts["unread"],
    }
    if sum(lost.values()) > allowed:
        said = " and ".join(f"{count} of {files} files {word}" for word, count in lost.items() if count)
        click.echo(
            f"selector: {said}, --max-failed {config.max_failed} allows {allowed}; {told_in} name each with its reason",
            err=True,
        )
        raise SystemExit(3)
