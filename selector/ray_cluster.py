"""A Ray cluster: how it is reached, and tasks on it as futures. Nothing large goes through it; what is done lies in files."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

from selector.errors import SelectorError

TASK: dict[str, Any] = {"num_cpus": 1, "max_retries": -1, "scheduling_strategy": "SPREAD"}
"""A task takes one CPU, and is begun again elsewhere if its node is lost."""

_REACH_S = 5.0


@contextmanager
def cluster(asked: str) -> Iterator[Any]:
    """The module `ray`, connected inside; an error of a task is the task's own.

    asked: an address, "auto" for the cluster that is there, "local" for one of its own. Raises SelectorError if none is there.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise SelectorError("--ray needs Ray: install the extra with pip install 'diffusion-selector[ray]'") from None
    address = None if asked == "local" else asked
    try:
        _look_at(address)
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (OSError, ValueError) as error:
        raise SelectorError(f"--ray {asked}: no cluster answers ({error}): start one (ray start --head)") from None
    try:
        yield ray
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, Exception) else SelectorError(str(error)) from None
    finally:
        ray.shutdown()


class Tasks(Executor):
    """Calls as tasks of a cluster. in_flight: how many keep its CPUs busy."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self.in_flight = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))

    def submit(self, call: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        """The result of the call, which some node is to make."""
        future: Future[Any] = self._ray.remote(**TASK)(call).remote(*args, **named).future()
        return future


def _look_at(address: str | None) -> None:
    """Raises OSError at once for an address where nobody listens, for which Ray itself waits minutes."""
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), _REACH_S).close()
