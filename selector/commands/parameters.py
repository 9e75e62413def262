"""What a parameter of a command takes, checked while the command line is read: numbers, addresses and paths.

A value may also come from a TOML file, and be of any of its types.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from client.bench.ranges import MOST_LEVELS
from client.embedded.devices import Device, read_device
from client.ranges import Range, above
from client.wire import read_servers
from selector.builtin import CLASS_LISTS, builtin_class_list
from selector.images.locations import Location, data_at, is_url


class Number(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # it is generic since click 8.5
    """A number of a range."""

    def __init__(self, numbers: Range) -> None:
        self.numbers = numbers
        self.name = "integer" if numbers.whole else "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; fails with the range in words."""
        try:
            return self.numbers.read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class NumberOrAuto(Number):
    """A number of a range, or the word `auto`, which is None."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number or None; fails with the range in words."""
        return None if value == "auto" else super().convert(value, param, ctx)


class Numbers(Number):
    """Numbers of a range, separated by commas, as a tuple. none: the empty text is no number."""

    def __init__(self, numbers: Range, *, none: bool = False) -> None:
        super().__init__(numbers)
        self.name = "text"
        self._none = none

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The numbers; fails for the first that is none."""
        if self._none and value == "":
            return ()
        return tuple(Number.convert(self, part.strip(), param, ctx) for part in str(value).split(","))


class Levels(Number):
    """Numbers of a range separated by commas, or FIRST:LAST[:STEP] with both ends, as a tuple."""

    def __init__(self, numbers: Range) -> None:
        super().__init__(numbers)
        self.name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The levels; fails for the first number that is none, and for levels that lead nowhere."""
        text = str(value)
        parts = [Number.convert(self, part.strip(), param, ctx) for part in text.split(":" if ":" in text else ",")]
        if ":" not in text:
            return tuple(parts)
        first, last, step = (*parts, 1)[:3]
        if len(parts) > 3 or last < first or (last - first) / step >= MOST_LEVELS:
            self.fail(f"levels are FIRST:LAST:STEP, upwards and at most {MOST_LEVELS}, not {text!r}", param, ctx)
        return tuple(first + step * number for number in range(int((last - first) / step) + 1))


class Words(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Some of the known words, separated by commas, as a tuple; a word that comes again counts once."""

    name = "text"

    def __init__(self, known: Sequence[str]) -> None:
        self._known = known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The words; fails for the first that is not known."""
        words = tuple(dict.fromkeys(word.strip() for word in str(value).split(",")))
        for word in words:
            if word not in self._known:
                self.fail(f"{word!r} is not one of {', '.join(self._known)}", param, ctx)
        return words


class Servers(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Addresses separated by commas, as a tuple."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The addresses; fails for the first that is none."""
        try:
            return read_servers(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Devices(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Where the embedded server's models run."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The device; fails if it is none."""
        try:
            return value if isinstance(value, Device) else read_device(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Place(click.Path):
    """A path as pathlib's; what no system can have for a path is refused like any other mistake."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(path_type=Path, **settings)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; fails if it is empty, or not what it has to be."""
        if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
            self.fail(f"must be a path, not {value!r}", param, ctx)
        return super().convert(value, param, ctx)


class ClassList(Place):
    """A file of classes, or the name of a built-in list, which becomes the path of the list's file.

    A bare name always means the built-in list, whatever lies in the current folder: a command must not change its meaning
    with the folder that it is given in. A file of that name there is ./NAME; a line says so.
    """

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; fails if it is neither a file nor the name of a list."""
        if value in CLASS_LISTS:
            if Path(value).is_file():
                click.echo(f"selector: {value} is the built-in list of classes; the file here is ./{value}", err=True)
            return builtin_class_list(value)
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(f"{error.message.removesuffix('.')}; the built-in lists are {', '.join(CLASS_LISTS)}", param, ctx)


class DataPlace(Place):
    """Where images lie: a path that is there, a URL, or a pattern of paths."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A path or a location; fails for a path that leads nowhere."""
        if isinstance(value, str) and "\0" not in value and (is_url(value) or isinstance(data_at(value), Location)):
            return Location(value)
        return super().convert(value, param, ctx)


FRACTIONS = Numbers(above(0, 1))
PATH = Place()
EXISTING = Place(exists=True)
DATA = DataPlace(exists=True)
FOLDER = Place(exists=True, file_okay=False)
FILE = Place(exists=True, dir_okay=False)
CLASSES = ClassList()
