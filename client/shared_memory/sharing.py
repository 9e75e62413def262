"""Shared memory with one server: its slabs, when another is made, and when an old one is let go.

A slab's name is removed as soon as the server has it mapped, so nothing is left in /dev/shm however this process ends;
a server that was restarted therefore needs a new slab. A slab is unregistered only when the server reads it no more:
Triton before 2.50 is killed by SIGSEGV otherwise, and later ones too where an ensemble failed while another of its
steps still read (seen with 2.51).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from client.shared_memory.slab import Slab, SlabError, Slot
from client.statistics import Sharing

SLAB_BYTES = 32 << 20
MOST_SLABS = 4
WORN = 0.25
"""Share of a slab that is retired when a request finds no slot: such a slab is replaced."""
QUIET_S = 60.0
"""How much longer than its own timeout a request of unknown fate may be read, at most."""
CLOSE_S = 5.0
"""How long a close waits for the server to be done with requests that were cancelled."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 300.0
_RELEASE_S, _LONGEST_RELEASE_S = 0.05, 2.0
_LOSSES = 3
"""Slabs lost one after another, with no answer between, after which the server is left alone for a while."""

_log = logging.getLogger(__name__)


class RegistryError(Exception):
    """The server did not do as asked; the text says why, and what to do about it."""


class Registry(Protocol):
    """What a server keeps of shared memory. Every call is bounded in time, and raises RegistryError."""

    async def register(self, name: str, nbytes: int) -> None:
        """The server maps the segment of this name."""

    async def unregister(self, name: str) -> bool:
        """The server lets it go, or will when nothing reads it; False if it is in use and stays registered."""

    async def counts_readers(self) -> bool:
        """Whether the server knows which requests in flight use a segment, and lets none go under them."""


@dataclass(eq=False)
class _Held:
    slab: Slab
    open: bool = False
    """Whether it takes further requests."""
    known: bool = True
    """Whether the server may have it registered."""
    quiet_at: float = 0.0
    """When nothing can read it any more that the server does not count."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class Lease:
    """A context manager that gives a slot or None, and ends the slot."""

    __slots__ = ("_errors_are_final", "_owner", "_slot", "_timeout_s")

    def __init__(self, owner: SharedMemory, slot: Slot | None, timeout_s: float, errors_are_final: bool) -> None:
        self._owner, self._slot = owner, slot
        self._timeout_s, self._errors_are_final = timeout_s, errors_are_final

    def __enter__(self) -> Slot | None:
        return self._slot

    def __exit__(self, *_: object) -> None:
        if self._slot is not None:
            self._owner.end(self._slot, self._timeout_s, self._errors_are_final)


class SharedMemory:
    """The slabs of one connection: at most `most_slabs` of `slab_bytes` each, the first made when it is needed."""

    def __init__(self, registry: Registry, *, slab_bytes: int = SLAB_BYTES, most_slabs: int = MOST_SLABS) -> None:
        self._registry = registry
        self._slab_bytes = slab_bytes
        self._most_slabs = most_slabs
        self._held: list[_Held] = []
        self._growing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts: bool | None = None
        self._setbacks = self._losses = 0
        self._not_before = 0.0
        self._closed = False
        self._reason = "the server did not answer in time"
        self._requests = self._bytes = self._fallbacks = self._retired = 0

    def statistics(self) -> Sharing:
        """The counts of now."""
        return Sharing(self._requests, self._bytes, self._fallbacks, self._retired)

    async def open(self, timeout_s: float) -> None:
        """Makes the first slab. Raises RegistryError with the reason if it can't be had."""
        await self._grow(timeout_s)
        if not any(held.open for held in self._held):
            raise RegistryError(self._reason)

    async def slot(self, nbytes: int, timeout_s: float, *, errors_are_final: bool) -> Lease:
        """A slot for a request, `with await` it; None if there is none, and the request has to carry its rows itself.

        It is free again only if it is set `done` inside. timeout_s: of the request. errors_are_final: whether the
        server reads nothing more once it has answered with an error.
        """
        slot = self._take(nbytes)
        if slot is None and await self._room_made(nbytes, timeout_s / 2):
            slot = self._take(nbytes)
        if slot is None:
            self._fallbacks += 1
        else:
            self._requests += 1
            self._bytes += nbytes
        return Lease(self, slot, timeout_s, errors_are_final)

    def lost(self, slot: Slot) -> None:
        """The server does not know this slot's slab (any more): nothing goes there again."""
        held = self._holding(slot)
        if held is None or not held.known:
            return
        held.known = False
        self._losses += 1
        self._replace(held)
        if self._losses >= _LOSSES:
            self._set_back(f"the server at this address forgot {self._losses} segments in a row")

    async def close(self) -> None:
        """Unregisters and unmaps every slab.

        One that the server may still read after CLOSE_S stays registered there, with the pages of its retired slots.
        """
        self._closed = True
        tasks = [*self._tasks, *([self._growing] if self._growing else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        deadline = _now() + CLOSE_S
        for held in self._held:
            held.open = False
            if held.known and not await self._let_go(held, deadline):
                _log.info("the segment %s stays registered with the server, if that lives", held.slab.name)
                held.slab.shrink()
            held.slab.close()
        self._held.clear()

    def _take(self, nbytes: int) -> Slot | None:
        for held in self._held:
            if held.open and (slot := held.slab.take(nbytes)) is not None:
                return slot
        return None

    def end(self, slot: Slot, timeout_s: float, errors_are_final: bool) -> None:
        """Ends a slot, as its lease does."""
        slot.slab.end(slot)
        held = self._holding(slot)
        if slot.done:
            self._losses = 0
        else:
            self._retired += 1
            if held is not None and not (self._counts and errors_are_final):
                held.quiet_at = max(held.quiet_at, _now() + timeout_s + QUIET_S)
        if held is not None and not held.open and not held.slab.live:
            held.idle.set()

    def _holding(self, slot: Slot) -> _Held | None:
        """None after a close."""
        return next((held for held in self._held if held.slab is slot.slab), None)

    async def _room_made(self, nbytes: int, timeout_s: float) -> bool:
        """Whether a slab may have been added."""
        if self._closed or nbytes > self._slab_bytes:
            return False
        for held in [held for held in self._held if held.open]:
            if held.slab.retired_bytes >= WORN * self._slab_bytes or not held.slab.live:
                self._replace(held)
        if len(self._held) >= self._most_slabs or _now() < self._not_before:
            return False
        await self._grow(timeout_s)
        return True

    async def _grow(self, timeout_s: float) -> None:
        """Adds one slab, however many ask for it at once."""
        if self._growing is None:
            self._growing = asyncio.create_task(self._add())
            self._growing.add_done_callback(self._grown)
        await asyncio.wait({self._growing}, timeout=timeout_s)

    def _grown(self, task: asyncio.Task[None]) -> None:
        self._growing = None
        if not task.cancelled():
            task.result()  # what `_add` does not expect is told by the event loop

    async def _add(self) -> None:
        try:
            if self._counts is None:
                self._counts = await self._registry.counts_readers()
            held = _Held(Slab(self._slab_bytes))
        except (SlabError, RegistryError) as error:
            self._set_back(str(error))
            return
        self._held.append(held)
        try:
            await self._registry.register(held.slab.name, held.slab.nbytes)
        except RegistryError as error:
            self._held.remove(held)
            held.slab.close()
            self._set_back(str(error))
            return
        finally:
            held.slab.unlink()
        held.open = True
        self._setbacks = 0

    def _set_back(self, reason: str) -> None:
        """No further slab is tried for a (doubling) while."""
        self._reason = reason
        if not self._setbacks:
            _log.warning("no shared memory with this server for now, rows travel in the requests: %s", reason)
        self._not_before = _now() + min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(self._setbacks, 30))
        self._setbacks += 1

    def _replace(self, held: _Held) -> None:
        if held.open:
            held.open = False
            if not held.slab.live:
                held.idle.set()
            held.slab.shrink()
            self._spawn(self._release(held))

    async def _release(self, held: _Held) -> None:
        await held.idle.wait()
        wait_s = _RELEASE_S
        while held.known:
            await asyncio.sleep(max(0.0, held.quiet_at - _now()))
            try:
                if await self._registry.unregister(held.slab.name):
                    break
            except RegistryError as error:
                _log.debug("the segment %s is not unregistered yet: %s", held.slab.name, error)
            await asyncio.sleep(wait_s)
            wait_s = min(_LONGEST_RELEASE_S, 2 * wait_s)
        self._held.remove(held)
        held.slab.close()

    async def _let_go(self, held: _Held, deadline: float) -> bool:
        """Whether the server lets it go before the deadline; one that does not answer is asked once."""
        while held.quiet_at <= _now():
            try:
                if await self._registry.unregister(held.slab.name):
                    return True
            except RegistryError as error:
                _log.debug("the segment %s could not be unregistered: %s", held.slab.name, error)
                return False
            if _now() > deadline:
                return False
            await asyncio.sleep(_RELEASE_S)
        return False

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _now() -> float:
    return asyncio.get_running_loop().time()
