"""Which numbers a setting takes: said once, for the command line, files of settings and the library.

NaN and infinity are in no range, and True is no number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real


@dataclass(frozen=True)
class Range:
    """Numbers from `least` to `most`, both taken; `above`: least itself is not. whole: integers alone."""

    least: float
    most: float
    whole: bool = True
    above: bool = False

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        if self.above:
            return f"{kind} above {_text(self.least)}, at most {_text(self.most)}"
        return f"{kind} from {_text(self.least)} to {_text(self.most)}"

    def holds(self, value: object) -> bool:
        """Whether the value is one of these numbers."""
        if isinstance(value, bool) or not isinstance(value, Integral if self.whole else Real):
            return False
        number = float(value)
        return math.isfinite(number) and self.least <= number <= self.most and not (self.above and number == self.least)

    def read(self, value: object) -> int | float:
        """The number that a text says, or that the value is; raises ValueError in words that follow a setting's name."""
        found = value
        if isinstance(value, str):
            try:
                found = int(value) if self.whole else float(value)
            except ValueError:
                found = value
        if not self.holds(found):
            raise ValueError(f"must be {self}, not {_text(value)}")
        return found  # type: ignore[return-value]


def whole(least: int, most: int) -> Range:
    """Integers from least to most."""
    return Range(least, most)


def real(least: float, most: float) -> Range:
    """Finite numbers from least to most."""
    return Range(least, most, whole=False)


def above(least: float, most: float) -> Range:
    """Finite numbers greater than least, up to most."""
    return Range(least, most, whole=False, above=True)


def refuse_outside(ranges: Mapping[str, Range], settings: object, label: Callable[[str], str] = str) -> None:
    """Raises ValueError that names the first field of `settings` that is out of its range; None stands for no number.

    A tuple's numbers are looked at one by one. label: the name that a field has for who reads the message.
    """
    for name, numbers in ranges.items():
        value = getattr(settings, name)
        for number in value if isinstance(value, tuple) else () if value is None else (value,):
            if not numbers.holds(number):
                raise ValueError(f"{label(name)} must be {numbers}, not {_text(number)}")


def flag(name: str) -> str:
    """The flag of a field."""
    return "--" + name.replace("_", "-")


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    return repr(value) if isinstance(value, str) else str(value)


PORT = whole(1, 65535)
ANY_PORT = whole(0, 65535)
"""0 stands for a free one."""
SEED = whole(0, 2**32 - 1)
"""What every library here takes as a seed."""
SECONDS = above(0, 86400)
COUNT = whole(1, 1_000_000)
PROCESSES = whole(0, 1024)
"""Processes or threads; 0 leaves it to the command."""
