"""`EmbeddedServer`: a Triton repository served on loopback for as long as a `with` lasts.

The process is watched by a supervisor (`supervisor.py`), so that a kill -9 of this program leaves no server behind, and
a kill -9 of the server is followed by a new one on the same ports, which a client sees as a few seconds of UNAVAILABLE.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from client.embedded import health, overlay, runfolder, wheel
from client.embedded.patience import patience_s
from client.embedded.supervisor import STOP_FILE
from client.errors import EmbeddedError

THREADS_VARIABLE = "SELECTOR_ONNX_THREADS"
LOOPBACK = "127.0.0.1"
OVERLAY = "repository"
POLL_S = 0.02
_PORT_ATTEMPTS = 3
_SUPERVISOR = Path(__file__).with_name("supervisor.py")


class EmbeddedServer:
    """The tritonserver of the installed wheel, serving `repository` on loopback; a context manager.

    log: where the server writes (appended to); without it the log lives as long as the server, and is kept if the start
    fails. ready_timeout_s: how long loading may take; None is `patience_s`. grpc_port, http_port: 0 takes free ones.
    threads: of each model, shared by its instances (overlay.py); None is one per core. restarts: how often within
    restarts_within_s a server that dies is replaced, on the same ports, before it is given up; a long run may outlive more
    deaths than that. grace_s: how long a stop waits for requests in flight. arguments: more flags of tritonserver, such as
    those of TLS or of restricted protocols.

    After the start: `grpc_url` and `http_url` ("127.0.0.1:PORT"), `metrics_url` (with scheme and path), `version`,
    `log`.
    """

    def __init__(
        self,
        repository: Path,
        *,
        log: Path | None = None,
        ready_timeout_s: float | None = None,
        grpc_port: int = 0,
        http_port: int = 0,
        threads: int | None = None,
        restarts: int = 3,
        restarts_within_s: float = 600.0,
        grace_s: float = 10.0,
        arguments: Sequence[str] = (),
    ) -> None:
        self._repository = repository.resolve()
        self._own_log = log
        self._ready_timeout_s = ready_timeout_s
        self._wanted_ports = (grpc_port, http_port, 0)
        self._ports: tuple[int, int, int] | None = None
        self._threads = threads
        self._allowed_restarts = restarts
        self._restarts_within_s = restarts_within_s
        self._grace_s = grace_s
        self._arguments = tuple(arguments)
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._run_folder: Path | None = None
        self.version = ""
        self.grpc_url = self.http_url = self.metrics_url = ""
        self.log = log or Path(os.devnull)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def patience_s(self) -> float:
        """How long it may take to load, and to answer a request (patience.py)."""
        return patience_s(self._repository)

    @property
    def pid(self) -> int:
        """The pid of the tritonserver process of now; another one after a restart. Raises EmbeddedError if stopped."""
        return int(self._status()["pid"])

    @property
    def restarts(self) -> int:
        """How often the server died and was replaced. Raises EmbeddedError if it is stopped."""
        return int(self._status()["restarts"])

    def running(self) -> bool:
        """Whether there is a server, or one about to be restarted."""
        return self._supervisor is not None and self._supervisor.poll() is None

    def start(self) -> None:
        """Starts the server and returns once every model is ready.

        Raises EmbeddedError with each failed model's reason, or with the last lines of the log. A second start, after a
        stop, takes the ports of the first.
        """
        if self._supervisor is not None:
            raise EmbeddedError("this embedded server is already started")
        self._check_repository()
        found = wheel.locate()
        for attempt in range(_PORT_ATTEMPTS):
            ports = self._ports or _free_ports(self._wanted_ports)
            try:
                with _errors_of_files():
                    self._launch(found, ports)
                    self._await_ready(ports)
            except BaseException as error:
                log = self._read_log()
                self._end(keep_log=isinstance(error, Exception))  # who interrupts does not look for reasons
                lost_race = self._ports is None and "already in use" in log
                if isinstance(error, EmbeddedError) and lost_race and attempt + 1 < _PORT_ATTEMPTS:
                    continue  # another process took a port between our looking and the server's binding
                raise
            self._ports = ports
            return

    def stop(self) -> None:
        """Ends the server and its stubs; nothing happens if there is none. The log stays if `log` was given."""
        self._end(keep_log=False)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Returns True when the server has been stopped, False after timeout_s.

        Raises EmbeddedError if it died and was given up.
        """
        supervisor = self._supervisor
        with contextlib.suppress(subprocess.TimeoutExpired):
            if supervisor is not None and supervisor.wait(timeout_s) != 0:
                raise EmbeddedError(f"tritonserver ended with code {supervisor.returncode}\n{self._log_tail()}")
            return True
        return False

    def _check_repository(self) -> None:
        if not self._repository.is_dir():
            raise EmbeddedError(f"the model repository {self._repository} is not a folder")
        if not any(self._repository.glob(f"*/{overlay.CONFIG_FILE}")):
            raise EmbeddedError(f"the folder {self._repository} holds no model (no */{overlay.CONFIG_FILE})")

    def _launch(self, found: wheel.Wheel, ports: tuple[int, int, int]) -> None:
        self._run_folder, lock = runfolder.create(runfolder.runs_root())
        try:
            threads = self._threads or len(os.sched_getaffinity(0))
            overlay.write_overlay(self._repository, self._run_folder / OVERLAY, threads=threads)
            backends = wheel.assemble(found, self._run_folder / "backends")
            environment = wheel.environment(found, backends, os.environ)
            environment[THREADS_VARIABLE] = str(threads)
            self.log = self._own_log or runfolder.log_path(self._run_folder)
            self.log.parent.mkdir(parents=True, exist_ok=True)
            spec = {
                "command": self._command(found, backends, ports),
                "log": str(self.log.resolve()),
                "run_folder": str(self._run_folder),
                "remove_log": self._own_log is None,
                "token": self._run_folder.name,
                "restarts": self._allowed_restarts,
                "restarts_within_s": self._restarts_within_s,
                "grace_s": self._grace_s,
                "parent": os.getpid(),
                "lock_fd": lock,
            }
            with self.log.open("ab") as log:
                self._supervisor = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(_SUPERVISOR), json.dumps(spec)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    pass_fds=[lock],
                    start_new_session=True,  # a Ctrl-C in the terminal is for this program, which then stops the server
                )
        finally:
            os.close(lock)

    def _command(self, found: wheel.Wheel, backends: Path, ports: tuple[int, int, int]) -> list[str]:
        assert self._run_folder is not None
        return [
            str(found.server),
            f"--model-repository={self._run_folder / OVERLAY}",
            f"--backend-directory={backends}",
            # Every backend in Python takes its settings from `python`. The prefix makes our regions known by name.
            f"--backend-config=python,shm-region-prefix-name={self._run_folder.name}",
            *(f"--{name}-address={LOOPBACK}" for name in ("grpc", "http", "metrics")),
            *(f"--{name}-port={port}" for name, port in zip(("grpc", "http", "metrics"), ports, strict=True)),
            # A server that stays up with failed models can say why they failed.
            "--exit-on-error=false",
            # Our configs are complete; the probing costs a second process per model, 1.3 s of the start here.
            "--disable-auto-complete-config",
            "--allow-gpu-metrics=false",
            f"--exit-timeout-secs={max(1, round(self._grace_s))}",
            *self._arguments,
        ]

    def _await_ready(self, ports: tuple[int, int, int]) -> None:
        assert self._supervisor is not None
        assert self._run_folder is not None
        http_url = f"{LOOPBACK}:{ports[1]}"
        timeout_s = self.patience_s if self._ready_timeout_s is None else self._ready_timeout_s
        deadline = time.monotonic() + timeout_s
        while not health.live(http_url):
            if self._supervisor.poll() is not None:
                raise EmbeddedError(f"tritonserver ended before it was ready\n{self._log_tail()}")
            if time.monotonic() > deadline:
                waited = f"{timeout_s:g} s (ready_timeout_s)"
                raise EmbeddedError(f"tritonserver was not ready after {waited}\n{self._log_tail()}")
            time.sleep(POLL_S)
        # The endpoints open after the initial load: what is not ready now has failed.
        failed = health.failed_models(http_url)
        if failed:
            reasons = "\n".join(f"  {name}: {reason}" for name, reason in failed.items())
            reasons = reasons.replace(str(self._run_folder / OVERLAY), str(self._repository))
            raise EmbeddedError(f"tritonserver could not load from {self._repository}\n{reasons}\n{self._log_hint()}")
        self.version = health.version(http_url)
        self.grpc_url, self.http_url = f"{LOOPBACK}:{ports[0]}", http_url
        self.metrics_url = f"http://{LOOPBACK}:{ports[2]}/metrics"
        (self._run_folder / "ready").touch()

    def _end(self, *, keep_log: bool) -> None:
        supervisor, run_folder = self._supervisor, self._run_folder
        self._supervisor = self._run_folder = None
        if run_folder is not None:
            # An interruption may have come before the supervisor was known.
            with contextlib.suppress(OSError):
                (run_folder / STOP_FILE).touch()
        if supervisor is not None:
            supervisor.terminate()
            supervisor.wait()
        if run_folder is not None:
            runfolder.discard(run_folder, self._grace_s)
            if self._own_log is None and not keep_log:
                self.log.unlink(missing_ok=True)

    def _status(self) -> dict[str, Any]:
        if self._run_folder is None:
            raise EmbeddedError("this embedded server is not started")
        status: dict[str, Any] = json.loads((self._run_folder / "status.json").read_text())
        return status

    def _read_log(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return self.log.read_text(errors="replace")
        return ""

    def _log_tail(self, lines: int = 12) -> str:
        tail = self._read_log().splitlines()[-lines:]
        return "\n".join([*(f"  | {line}" for line in tail), self._log_hint()])

    def _log_hint(self) -> str:
        return f"the whole log: {self.log}"


@contextlib.contextmanager
def _errors_of_files() -> Iterator[None]:
    """Inside, an OSError becomes an EmbeddedError: a full or missing folder for temporary files, most of all."""
    try:
        yield
    except OSError as error:
        place = error.filename or "the folder for temporary files"
        raise EmbeddedError(
            f"the embedded server can't be started: {place}: {error.strerror or error}: make room there, or set TMPDIR"
        ) from error


def _free_ports(wanted: tuple[int, int, int]) -> tuple[int, int, int]:
    """Three distinct free ports of loopback, those given where not 0. Raises EmbeddedError if one given is taken."""
    with contextlib.ExitStack() as stack:
        ports = []
        for port in wanted:
            probe = stack.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError as error:
                raise EmbeddedError(f"port {port} of {LOOPBACK} can't be used: {error.strerror}") from error
            ports.append(int(probe.getsockname()[1]))
    return ports[0], ports[1], ports[2]
