"""`EmbeddedServer`: a Triton repository served on this machine for as long as a `with` lasts.

The process is watched by a supervisor (`supervisor.py`), so that a kill -9 of this program leaves no server behind, and
a kill -9 of the server is followed by a new one at the same address, which a client sees as a few seconds of UNAVAILABLE.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from client.embedded import endpoints, overlay, runfolder, wheel
from client.embedded.devices import ON_CORES, TENSORRT, Device, device_problem
from client.embedded.devices import environment as devices_environment
from client.embedded.guard import guard
from client.embedded.patience import ENGINES_S, patience_s
from client.embedded.supervisor import STOP_FILE
from client.errors import EmbeddedError, WireError
from client.wire import Security

THREADS_VARIABLE = "SELECTOR_ONNX_THREADS"
OVERLAY = "repository"
POLL_S = 0.02
_PORT_ATTEMPTS = 3
_SUPERVISOR = Path(__file__).with_name("supervisor.py")


class EmbeddedServer:
    """The tritonserver of the installed wheel, serving `repository` to this user; a context manager.

    It has no port: gRPC listens on a Unix socket in a folder that nobody else can enter. grpc_port, http_port, metrics_port:
    ports of loopback to be opened, 0 for a free one; then everybody on this machine can call it, and guarded says that shared
    memory, traces and the log are for those alone who can read `header_file`.

    log: where the server writes (appended to); without it the log lives as long as the server, and is kept if the start fails.
    ready_timeout_s: how long loading may take; None is `patience_s`. threads: of each model, shared by its instances
    (overlay.py); None is one per core. device: where they run. restarts: how often within restarts_within_s a server that dies
    is replaced, at the same address, before it is given up; a long run may outlive more deaths than that. grace_s: how long a
    stop waits for requests in flight. arguments: more flags of tritonserver, such as those of TLS. security: what it takes to
    ask it then.

    After the start: `grpc_url` ("unix:PATH" or "127.0.0.1:PORT"), `http_url` ("127.0.0.1:PORT" or ""), `metrics_url` (with scheme
    and path, or ""), `version`, `log`, and `header_file` if it is guarded.
    """

    def __init__(
        self,
        repository: Path,
        *,
        log: Path | None = None,
        ready_timeout_s: float | None = None,
        grpc_port: int | None = None,
        http_port: int | None = None,
        metrics_port: int | None = None,
        guarded: bool = False,
        threads: int | None = None,
        device: Device = ON_CORES,
        restarts: int = 3,
        restarts_within_s: float = 600.0,
        grace_s: float = 10.0,
        arguments: Sequence[str] = (),
        security: Security | None = None,
    ) -> None:
        self._repository = repository.resolve()
        self._own_log = log
        self._ready_timeout_s = ready_timeout_s
        self._ports = endpoints.Ports(grpc_port, http_port, metrics_port)
        self._endpoints: endpoints.Endpoints | None = None
        self._guarded = guarded
        self._threads = threads
        self._device = device
        self._allowed_restarts = restarts
        self._restarts_within_s = restarts_within_s
        self._grace_s = grace_s
        self._arguments = tuple(arguments)
        self._security = security
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._run_folder: Path | None = None
        self._run_name = ""
        self.version = ""
        self.grpc_url = self.http_url = self.metrics_url = ""
        self.log = log or Path(os.devnull)
        self.header_file: Path | None = None

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
        building_s = ENGINES_S if self._device.kind == TENSORRT else 0.0  # at the first start on this kind of GPU
        return max(building_s, patience_s(self._repository))

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
        stop, takes the address of the first.
        """
        if self._supervisor is not None:
            raise EmbeddedError("this embedded server is already started")
        self._check_repository()
        found = wheel.locate()
        if problem := device_problem(self._device):
            raise EmbeddedError(problem)
        for attempt in range(_PORT_ATTEMPTS):
            try:
                with runfolder.errors_of_files():
                    self._await_ready(self._launch(found))
            except BaseException as error:
                log = self._read_log()
                self._end(keep_log=isinstance(error, Exception))  # who interrupts does not look for reasons
                lost_race = self._endpoints is None and "already in use" in log
                if isinstance(error, EmbeddedError) and lost_race and attempt + 1 < _PORT_ATTEMPTS:
                    continue  # another process took a port between our looking and the server's binding
                raise
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

    def _launch(self, found: wheel.Wheel) -> endpoints.Endpoints:
        self._run_folder, lock = runfolder.create(runfolder.runs_root(), self._run_name)
        self.log = self._own_log or runfolder.log_path(self._run_folder)
        try:
            socket_folder = runfolder.socket_folder(self._run_folder)
            places = self._endpoints or endpoints.choose(self._ports, socket_folder)
            secret_flags: tuple[str, ...] = ()
            if self._guarded:
                secret_flags, self.header_file = guard(self._run_folder, http=self._ports.http is not None)
            threads = self._threads or len(os.sched_getaffinity(0))
            overlay.write_overlay(self._repository, self._run_folder / OVERLAY, threads=threads, device=self._device)
            backends = wheel.assemble(found, self._run_folder / "backends")
            environment = wheel.environment(found, backends, os.environ)
            environment |= devices_environment(self._device) | {THREADS_VARIABLE: str(threads)}
            self.log.parent.mkdir(parents=True, exist_ok=True)
            spec = {
                "command": self._command(found, backends, places),
                "secret_flags": secret_flags,
                "log": str(self.log.resolve()),
                "run_folder": str(self._run_folder),
                "socket_folder": str(socket_folder),
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
                    [sys.executable, "-I", "-S", str(_SUPERVISOR)],
                    stdin=subprocess.PIPE,  # what it is to do has secrets, which a command line would tell everybody
                    stdout=log,
                    stderr=log,
                    env=environment,
                    pass_fds=[lock],
                    start_new_session=True,  # a Ctrl-C in the terminal is for this program, which then stops the server
                )
            assert self._supervisor.stdin is not None
            # If it is dead, its log says why.
            with contextlib.suppress(BrokenPipeError), self._supervisor.stdin as stdin:
                stdin.write(json.dumps(spec).encode())
            return places
        finally:
            os.close(lock)

    def _command(self, found: wheel.Wheel, backends: Path, places: endpoints.Endpoints) -> list[str]:
        assert self._run_folder is not None
        return [
            str(found.server),
            f"--model-repository={self._run_folder / OVERLAY}",
            f"--backend-directory={backends}",
            # Every backend in Python takes its settings from `python`. The prefix makes our regions known by name.
            f"--backend-config=python,shm-region-prefix-name={self._run_folder.name}",
            *places.arguments(),
            "--model-control-mode=none",  # nobody loads or unloads a model
            # A server that stays up with failed models can say why they failed.
            "--exit-on-error=false",
            # Our configs are complete; the probing costs a second process per model, 1.3 s of the start here.
            "--disable-auto-complete-config",
            "--allow-gpu-metrics=false",
            f"--exit-timeout-secs={max(1, round(self._grace_s))}",
            *self._arguments,
        ]

    def _await_ready(self, places: endpoints.Endpoints) -> None:
        assert self._supervisor is not None
        assert self._run_folder is not None
        from client.wire import Health  # gRPC takes a quarter of a second to import, in which the server loads

        health = Health(places.grpc, self._security)
        timeout_s = self.patience_s if self._ready_timeout_s is None else self._ready_timeout_s
        deadline = time.monotonic() + timeout_s
        while not (health.live() and places.opened()):
            if self._supervisor.poll() is not None:
                raise EmbeddedError(f"tritonserver ended before it was ready\n{self._log_tail()}")
            if time.monotonic() > deadline:
                waited = f"{timeout_s:g} s (ready_timeout_s)"
                raise EmbeddedError(f"tritonserver was not ready after {waited}\n{self._log_tail()}")
            time.sleep(POLL_S)
        # The endpoints open after the initial load: what is not ready now has failed.
        try:
            failed, self.version = health.failed_models(), health.version()
        except WireError as error:
            raise EmbeddedError(f"tritonserver can't say what it serves: {error}\n{self._log_hint()}") from error
        if failed:
            reasons = "\n".join(f"  {name}: {reason}" for name, reason in failed.items())
            reasons = reasons.replace(str(self._run_folder / OVERLAY), str(self._repository))
            raise EmbeddedError(f"tritonserver could not load from {self._repository}\n{reasons}\n{self._log_hint()}")
        self._endpoints, self._run_name = places, self._run_folder.name
        self.grpc_url, self.http_url = places.grpc, places.http
        self.metrics_url = f"http://{places.metrics}/metrics" if places.metrics else ""
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
                runfolder.log_path(run_folder).unlink(missing_ok=True)

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
