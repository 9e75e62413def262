"""The process of the `selector` command: its streams, its signals, its exit code.

Nothing slow is imported before signals are listened to. The command itself is cli.py.
"""

from __future__ import annotations

import atexit
import os
import sys

from selector.console import endings, streams


def console() -> None:
    """The console script: runs the command and ends the process without the destructors of native libraries.

    Under heavy load one of their threads was seen to outlive the interpreter and abort the process at exit, after all work
    was done ("terminate called without an active exception", exit code -6). Python's own exit functions are run.
    """
    streams.prepare()
    code = _code()
    endings.finish()
    atexit._run_exitfuncs()
    if reason := streams.lost(sys.stdout):
        sys.stderr.write(f"selector: the result could not be printed on stdout: {reason}\n")
    sys.stderr.flush()
    os._exit(code)


def _code() -> int:
    """Runs the command; what it is ended by becomes the exit code, an error that nobody expected a traceback."""
    try:
        with endings.told():
            endings.listen()
            from selector.cli import main

            main()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            sys.stderr.write(ended.code + "\n")
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except endings.Ended as ended:
        sys.stderr.write(f"selector: {ended}; what was committed stays, the same command goes on from there\n")
        return ended.exit_code
    return 0
