"""Options of how picks are handed out."""

from __future__ import annotations

from collections.abc import Callable

import click

from selector.commands.options import Command, number, option, together
from selector.commands.parameters import FILE, Words
from selector.config import CLASS_FOLDERS, EXPORT_RANGES, EXPORTS, IMAGE_FORMATS, TAKE, ExportConfig


def format_options(default: ExportConfig | None) -> Callable[[Command], Command]:
    """How picks are handed out. default: what stands where an option is not given; None leaves it to the command."""
    return together(
        option(
            "--export",
            "formats",
            type=Words(EXPORTS),
            metavar="NAMES",
            **({"default": ",".join(default.formats)} if default else {"required": True}),
            help=f"Formats of the picks, separated by commas: {', '.join(EXPORTS)}.",
        ),
        number(
            "--size",
            ranges=EXPORT_RANGES,
            default=default.size if default else None,
            help="Side in pixels of the square that pictures are fitted to; 0: as they are in the original.",
        ),
        option(
            "--image-format",
            type=click.Choice(IMAGE_FORMATS),
            default=default.image_format if default else None,
            help="Files of the pictures; webp is lossless.",
        ),
        option(
            "--class-folders",
            type=click.Choice(CLASS_FOLDERS),
            default=default.class_folders if default else None,
            help="Folders of imagefolder: called as the class, as its folder in the data, or by its number (00007).",
        ),
        option(
            "--metadata",
            type=FILE,
            help="JSON or TOML file of what only you know of the set: name, licence, citation and so on.",
        ),
    )


export_options = together(
    option(
        "--take",
        type=click.Choice(TAKE),
        default=ExportConfig.take,
        help="Hand out the chosen windows, or the whole images that they lie in.",
    ),
    format_options(ExportConfig()),
)
