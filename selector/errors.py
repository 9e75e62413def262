"""The errors of the selector, one tree; each class knows the exit code of the command.

SelectorError (1)
├── FileError (1)        a file or folder can't be read or written
├── UsageError (2)       the command was asked for something that can't be
├── MismatchError (4)    the server's models or identity are not what the store or the data need
└── StoreError (5)       the store belongs to another configuration, or is damaged

Exit code 3 has no class: the run finished, but more files failed than --max-failed allows (commands/configuration.py).
"""

from __future__ import annotations

from typing import ClassVar


class SelectorError(Exception):
    """Base of all errors of this package."""

    exit_code: ClassVar[int] = 1


class FileError(SelectorError):
    """A file or folder can't be read or written; the message says what to do about it."""


class UsageError(SelectorError):
    """The command was asked for something that can't be."""

    exit_code = 2


class MismatchError(SelectorError):
    """The server's models or identity are not what the store or the data need."""

    exit_code = 4


class StoreError(SelectorError):
    """The store belongs to another configuration, or is damaged."""

    exit_code = 5
