"""The process between this program and tritonserver, so that neither a kill -9 of one nor of the other leaves anything.

Owns starting the server, ending it when asked or when the parent is gone, starting it again when it died by itself, and
removing its regions of shared memory. Run as a script without site packages: standard library only, single-threaded
(PR_SET_PDEATHSIG, which ends the server with this process, follows a thread).

Four cases. The parent dies: its pid is no longer our parent's, the server is stopped. The server dies: its stubs, whose
parent this process becomes (subreaper), are killed and its regions are removed. A stub dies: 2.51 then answers nothing
any more (seen: every request ran into its deadline), so the server is killed, which is the case before. This process
dies: the server gets SIGTERM from the kernel; what may then be left is removed by the next start (`runfolder`).
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
POLL_S = 0.2
STOP_POLL_S = 0.02
STUBS_S = 1.0
"""How often the server's stubs are looked at; a look through /proc costs some 5 ms."""
SHARED_MEMORY = Path("/dev/shm")
STOP_FILE = "stop"
"""In the run folder it asks for the end, as SIGTERM does: of a supervisor whose pid its parent never learned."""

_libc = ctypes.CDLL(None, use_errno=True)


class Supervisor:
    """One server from start to end. `spec`: command, log, run_folder, token, restarts, restarts_within_s, grace_s, parent,
    lock_fd, remove_log."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self._run_folder = Path(spec["run_folder"])
        self._restarts = 0
        self._died: list[float] = []  # when, of the deaths that still count
        self._server = self._start()

    def run(self) -> int:
        """Returns when the server has ended for good: 0 if it was asked to, else its exit code."""
        while True:
            signalled = signal.sigtimedwait([signal.SIGTERM, signal.SIGCHLD], POLL_S)
            asked = signalled is not None and signalled.si_signo == signal.SIGTERM
            if self._orphaned() or asked or (self._run_folder / STOP_FILE).exists():
                self._stop()
                if self._orphaned():
                    self._remove_files()
                return 0
            ready = (self._run_folder / "ready").exists()
            code = self._server.poll()
            if code is None:
                if ready:  # a stub that dies while loading is a model that fails, which the server survives and reports
                    self._watch_stubs()
                continue
            self._remove_remains()
            now = time.monotonic()
            self._died = [at for at in self._died if now - at < self._spec["restarts_within_s"]]
            if not ready or len(self._died) >= self._spec["restarts"]:
                return code or 1
            self._died.append(now)
            self._restarts += 1
            self._server = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with Path(self._spec["log"]).open("ab") as log:
            server = subprocess.Popen(
                self._spec["command"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=_prepare_server,
                pass_fds=[self._spec["lock_fd"]],  # held by server and stubs: a free lock means that all are gone
            )
        self._watch_at = time.monotonic()
        temporary = self._run_folder / "status.tmp"
        temporary.write_text(json.dumps({"pid": server.pid, "restarts": self._restarts}))
        temporary.replace(self._run_folder / "status.json")
        return server

    def _watch_stubs(self) -> None:
        """Kills a server of which a stub is dead: it leaves it unreaped."""
        if time.monotonic() < self._watch_at:
            return
        if _children(self._server.pid, "dead"):
            self._server.kill()
        self._watch_at = time.monotonic() + STUBS_S

    def _stop(self) -> None:
        """SIGINT, which lets requests in flight finish; SIGKILL once nothing is left to finish, or after grace_s.

        Without a parent, which was killed or told twice to end, nobody waits for answers.
        """
        if self._server.poll() is None:
            self._server.send_signal(signal.SIGINT)
        deadline = time.monotonic() + self._spec["grace_s"]
        while self._server.poll() is None and time.monotonic() < deadline and not self._orphaned():
            # It looks at its models once a second while stopping: with the last stub and region gone, so is its work.
            if not _children(self._server.pid, "running") and not self._regions():
                break
            time.sleep(STOP_POLL_S)
        self._server.kill()
        self._server.wait()
        self._remove_remains()

    def _orphaned(self) -> bool:
        return os.getppid() != int(self._spec["parent"])

    def _remove_remains(self) -> None:
        # The killing of one may bring its own children here; the dead among them are still to be reaped.
        while orphans := _children(os.getpid(), "running", "dead"):
            for orphan in orphans:
                os.kill(orphan, signal.SIGKILL)
                os.waitpid(orphan, 0)
        for region in self._regions():
            region.unlink(missing_ok=True)

    def _remove_files(self) -> None:
        """What the parent would have removed."""
        shutil.rmtree(self._run_folder, ignore_errors=True)
        if self._spec["remove_log"]:
            Path(self._spec["log"]).unlink(missing_ok=True)

    def _regions(self) -> list[Path]:
        return list(SHARED_MEMORY.glob(f"{self._spec['token']}*"))


def _prepare_server() -> None:
    """A background job of a script ignores SIGINT, and so would the server, which is stopped by it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _children(parent: int, *kinds: str) -> list[int]:
    """Pids of the children of `parent` that are "running", "dead" (and unreaped), or either."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        # "pid (name) state ppid ...": the name may hold spaces and parentheses.
        state, its_parent = stat.rpartition(")")[2].split()[:2]
        if int(its_parent) == parent and ("dead" if state == "Z" else "running") in kinds:
            found.append(int(entry.name))
    return found


def main() -> int:
    """Supervises the server that the first argument, a JSON object, describes."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, as some parents leave it, no child's end is ever seen
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD])
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    return Supervisor(json.loads(sys.argv[1])).run()


if __name__ == "__main__":
    sys.exit(main())
