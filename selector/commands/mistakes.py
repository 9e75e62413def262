"""A mistake on the command line in one line: the command, the option, what is wrong, what to do.

click's own way takes four lines, and the one that matters comes last.
"""

from __future__ import annotations

import sys

import click
from click.core import ParameterSource

from selector.errors import SelectorError
from selector.folders.files import known, told

_SOURCES = {ParameterSource.ENVIRONMENT: "the environment", ParameterSource.DEFAULT_MAP: "the file of --config"}


def message(error: click.ClickException, program: str = "selector") -> str:
    """What to print for click's error: one line for a mistake, the help for a command that was given nothing at all."""
    if not isinstance(error, click.UsageError):
        return f"{program}: {error.format_message()}"
    if type(error).__name__ == "NoArgsIsHelpError":
        return error.format_message()
    command = error.ctx.command_path if error.ctx is not None else program
    text = " ".join(_text(error).split()).removesuffix(".")
    return f"{command}: {text}; see {command} --help"


def run_alone(command: click.Command, program: str) -> None:
    """Runs a command that is a program of its own; mistakes and errors of files are one line on stderr."""
    try:
        command.main(prog_name=program, standalone_mode=False)
    except click.ClickException as error:
        click.echo(message(error, program), err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo(f"{program}: interrupted", err=True)
        sys.exit(130)
    except SelectorError as error:
        click.echo(f"{program}: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if not known(error):
            raise
        click.echo(f"{program}: {told(error)}", err=True)
        sys.exit(1)


def _text(error: click.UsageError) -> str:
    if isinstance(error, click.MissingParameter):
        meaning = getattr(error.param, "help", None) or ""
        return f"{_name(error)} is missing" + (f": {meaning}" if meaning else "")
    if isinstance(error, click.BadParameter) and error.param is not None:
        return f"{_name(error)}: {_small(error.message)}"
    return _small(error.format_message())


def _name(error: click.BadParameter) -> str:
    """The option, and where its value came from if not from the command line."""
    parameter, context = error.param, error.ctx
    if parameter is None:
        return "a parameter"
    name = max(parameter.opts, key=len) if isinstance(parameter, click.Option) else parameter.human_readable_name
    source = context.get_parameter_source(str(parameter.name)) if context is not None else None
    if source is ParameterSource.ENVIRONMENT and isinstance(parameter.envvar, str):
        return f"{parameter.envvar} ({name})"
    return f"{name} (from {_SOURCES[source]})" if source in _SOURCES else name


def _small(text: str) -> str:
    return text[:1].lower() + text[1:]
