"""How a command ends that is told to: by Ctrl-C, SIGTERM or the loss of its terminal (SIGHUP), all in one way.

The first signal is an exception in the main thread, or the cancelling of all tasks of a loop that runs there, so that
everything is closed as after an error; a second one ends the process at once, and then those that it started notice its
death. What was ignored at the start stays ignored, here and in children: that is how nohup, disown and a script's
background jobs work.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME_S = 0.1
"""What comes so soon after the first signal belongs to it: timeout(1) tells the process and then its group."""
AGAIN_S = 0.05


class Ended(BaseException):
    """The command was ended by a signal, whatever error that became on its way."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__("interrupted" if number == signal.SIGINT else f"ended by {number.name}")
        self.exit_code = 128 + number


class _First:
    """The first signal that came, and when. again: whether the next one is the same, sent once more by this process."""

    number: signal.Signals | None = None
    at = 0.0
    again = False


def listen() -> None:
    """Takes the signals that are not ignored; called once, in the main thread."""
    sys.unraisablehook = _unraisable
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _came)


def finish() -> None:
    """From here on a signal ends the process at once: nothing is left to be closed."""
    _First.number, _First.at = _First.number or signal.SIGTERM, 0.0


@contextmanager
def told() -> Iterator[None]:
    """Raises Ended in place of any error that the body ends with after a signal."""
    try:
        yield
    except BaseException as error:
        if _First.number is None:
            raise
        raise Ended(_First.number) from error


def _came(number: int, frame: FrameType | None) -> None:
    if _First.number is None:
        _First.number, _First.at = signal.Signals(number), time.monotonic()
    elif not _First.again:
        # A closing terminal and the shell in it both say SIGHUP.
        if number != signal.SIGHUP and time.monotonic() - _First.at > SAME_S:
            os._exit(128 + number)
        return
    _First.again = False
    loop = _running_loop()
    if loop is not None:
        loop.call_soon_threadsafe(_cancel_all, loop)
    elif _loads_an_extension(frame):
        _send_again()
    else:
        raise KeyboardInterrupt


def _loads_an_extension(frame: FrameType | None) -> bool:
    """Whether a library of C is just being imported: it may print what is raised in it, and numpy does."""
    while frame is not None and not frame.f_code.co_qualname.startswith("ExtensionFileLoader."):
        frame = frame.f_back
    return frame is not None


def _send_again() -> None:
    def send() -> None:
        _First.again = True
        os.kill(os.getpid(), number)

    number = _First.number or signal.SIGTERM
    timer = threading.Timer(AGAIN_S, send)
    timer.daemon = True
    timer.start()


def _running_loop() -> Any:
    """The event loop of this thread, if one runs. asyncio is not imported for it."""
    running = getattr(sys.modules.get("asyncio.events"), "_get_running_loop", None)
    return None if running is None else running()


def _cancel_all(loop: Any) -> None:
    for task in sys.modules["asyncio"].all_tasks(loop):
        task.cancel()


def _unraisable(unraisable: Any) -> None:
    """An exception raised in a destructor or a callback of C is dropped there: the signal is sent once more."""
    if not isinstance(unraisable.exc_value, KeyboardInterrupt) or _First.number is None:
        sys.__unraisablehook__(unraisable)
        return
    _send_again()
