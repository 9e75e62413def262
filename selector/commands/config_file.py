"""The TOML file of defaults (--config): values for all commands, and a table for each command's own.

Keys are the long names of options. A key that no command has is an error: it would do nothing, and nobody would see.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from selector.folders.files import told

Defaults = dict[str, dict[str, Any]]


def read_defaults(path: Path, commands: Mapping[str, click.Command]) -> Defaults:
    """Command → its defaults by parameter; raises ValueError that names the file and what is wrong in it."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(told(error, path, "read")) from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8: save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from None
    options = {name: _options(command) for name, command in commands.items()}
    tables = {name: table for name, table in content.items() if isinstance(table, dict)}
    shared = {key: value for key, value in content.items() if not isinstance(value, dict)}
    for key in shared:
        if not any(_name(key) in known for known in options.values()):
            raise ValueError(f"{path}: no command has the option {key!r}: correct it, or leave it away")
    for name, table in tables.items():
        _check_table(path, name, table, options)
    return {
        name: {
            str(known[_name(key)].name): _value(value, known[_name(key)])
            for key, value in (shared | tables.get(name, {})).items()
            if _name(key) in known
        }
        for name, known in options.items()
    }


def _check_table(
    path: Path, name: str, table: Mapping[str, Any], options: Mapping[str, Mapping[str, click.Option]]
) -> None:
    if name not in options:
        raise ValueError(f"{path}: there is no command for the table [{name}]: expected {', '.join(sorted(options))}")
    for key, value in table.items():
        if _name(key) not in options[name]:
            raise ValueError(f"{path}: [{name}] has no option {key!r}: see selector {name} --help")
        if isinstance(value, dict):
            raise ValueError(f"{path}: [{name}] {key} must be a value, not a table")


def _options(command: click.Command) -> dict[str, click.Option]:
    """Each option under its long name."""
    return {
        _name(text.lstrip("-")): parameter
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for text in parameter.opts
        if text.startswith("--")
    }


def _name(key: str) -> str:
    return key.replace("_", "-")


def _value(value: Any, option: click.Option) -> Any:
    """A list stands for what is separated by commas on the command line, or for an option that is given several times."""
    if option.multiple or option.nargs != 1:
        return value if isinstance(value, list) else [value]
    return ",".join(map(str, value)) if isinstance(value, list) else value
