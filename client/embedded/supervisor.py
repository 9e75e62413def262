"""The process between this program and tritonserver, so that neither a kill -9 of one nor of the other leaves anything.

Owns starting the server, ending it when asked or when the parent is gone, starting it again when it died by itself, and
removing its regions of shared memory. Run as a script without site packages: standard library only, single-threaded
(PR_SET_PDEATHSIG, which ends the server with this process, follows a thread).

Four cases. The parent dies: its pid is no longer our parent's, the server is stopped. The server dies: its stubs, whose
parent this process becomes (subreaper), are killed and its regions are removed. A stub dies: 2.51 then answers nothing
any more (seen: every request ran into its deadline), so the server is killed, which is the case before. This process
dies: the server gets SIGTERM from the kernel; what may then be left is removed by the next start (`runfolder`).

Everybody can read every process's command line. So a flag that has a secret stands in the server's environment, which its user
alone can read, and before the first instruction of the server its argument's pointer is turned there (`_turn_arguments`).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import struct
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
PTRACE_TRACEME, PTRACE_DETACH = 0, 17
STACK, ENVIRONMENT, ENVIRONMENT_END = 28, 50, 51
"""Numbers of fields of /proc/PID/stat, as proc(5) counts: addresses of the argument count, and of the environment's text."""
HIDDEN = "(a flag that is not shown)"
VARIABLE = "SELECTOR_FLAG_"
NOT_HIDDEN = (
    "selector: this system allows no ptrace, without which the key of shared memory would stand on the server's command line, "
    "where everybody can read it: allow it (kernel.yama.ptrace_scope below 3; in a container, --cap-add SYS_PTRACE)\n"
)
STOP_FILE = "stop"
"""In the run folder it asks for the end, as SIGTERM does: of a supervisor whose pid its parent never learned."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


class Supervisor:
    """One server from start to end. `spec`: command, secret_flags, log, run_folder, socket_folder, token, restarts,
    restarts_within_s, grace_s, parent, lock_fd, remove_log."""

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
            self._close_regions()
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
        command, secrets = self._spec["command"], self._spec["secret_flags"]
        variables = {f"{VARIABLE}{place}": flag for place, flag in enumerate(secrets, len(command))}
        with Path(self._spec["log"]).open("ab") as log:
            server = subprocess.Popen(
                [*command, *(HIDDEN for _ in secrets)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | variables,
                preexec_fn=_prepare_halted_server if secrets else _prepare_server,
                pass_fds=[self._spec["lock_fd"]],  # held by server and stubs: a free lock means that all are gone
            )
        if secrets:
            _turn_arguments(server, range(len(command), len(command) + len(secrets)))
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
        for folder in (self._spec["socket_folder"], self._run_folder):
            shutil.rmtree(folder, ignore_errors=True)
        if self._spec["remove_log"]:
            Path(self._spec["log"]).unlink(missing_ok=True)

    def _close_regions(self) -> None:
        """2.51 makes every region readable by all, whatever the umask, before its stub is there that writes rows into it."""
        for region in self._regions():
            with contextlib.suppress(FileNotFoundError):
                region.chmod(0o600)

    def _regions(self) -> list[Path]:
        return list(SHARED_MEMORY.glob(f"{self._spec['token']}*"))


def _prepare_server() -> None:
    """A background job of a script ignores SIGINT, and so would the server, which is stopped by it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _prepare_halted_server() -> None:
    """It stops when its program is loaded, and waits for `_turn_arguments`."""
    _prepare_server()
    if _libc.ptrace(PTRACE_TRACEME, 0, None, None) != 0:
        os.write(2, NOT_HIDDEN.encode())  # to the log
        os._exit(1)


def _turn_arguments(server: subprocess.Popen[bytes], places: range) -> None:
    """Has these arguments of a halted child be what its environment holds for them, and lets it run."""
    _, status = os.waitpid(server.pid, 0)  # until it stands at its first instruction
    if not os.WIFSTOPPED(status):
        server.returncode = os.waitstatus_to_exitcode(status)
        sys.exit(1)
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    stack, start, end = (int(fields[number - 3]) for number in (STACK, ENVIRONMENT, ENVIRONMENT_END))
    with Path(f"/proc/{server.pid}/mem").open("r+b", buffering=0) as memory:
        memory.seek(start)
        environment = memory.read(end - start)
        for place in places:
            name = f"{VARIABLE}{place}=".encode()
            memory.seek(stack + 8 * (1 + place))  # the count of arguments, then a pointer to each
            memory.write(struct.pack("Q", start + environment.index(name) + len(name)))
    _libc.ptrace(PTRACE_DETACH, server.pid, None, None)


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
    """Supervises the server that a JSON object on stdin describes."""
    os.umask(0o077)  # the server's socket is this user's alone
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, as some parents leave it, no child's end is ever seen
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD])
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    return Supervisor(json.load(sys.stdin)).run()


if __name__ == "__main__":
    sys.exit(main())
