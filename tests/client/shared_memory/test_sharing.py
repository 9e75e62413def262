"""When slabs are made, worn, lost and let go, against a scripted registry of a server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from client.shared_memory import sharing, slab
from client.shared_memory.sharing import RegistryError, SharedMemory
from client.shared_memory.slab import SlabError, Slot

PAGE = 4096


class Script:
    """A registry that keeps names. in_use: of those it does not let go. refusal: of the next registrations."""

    def __init__(self, *, counts: bool = True) -> None:
        self.names: list[str] = []
        self.in_use: set[str] = set()
        self.refusal = ""
        self.counts = counts
        self.asked = 0
        self.gone: list[str] = []

    async def register(self, name: str, nbytes: int) -> None:
        self.asked += 1
        if self.refusal:
            raise RegistryError(self.refusal)
        assert (slab.SHARED_MEMORY / name).stat().st_size == nbytes
        self.names.append(name)

    async def unregister(self, name: str) -> bool:
        if name in self.in_use:
            return False
        self.gone.append(name)
        if name in self.names:
            self.names.remove(name)
        return True

    async def counts_readers(self) -> bool:
        return self.counts


@asynccontextmanager
async def opened(script: Script, pages: int = 4, most: int = 2) -> AsyncIterator[SharedMemory]:
    """Shared memory of a few pages, closed at the end."""
    shared = SharedMemory(script, slab_bytes=pages * PAGE, most_slabs=most)
    try:
        yield shared
    finally:
        await shared.close()


def play(scene: Callable[[Script], Awaitable[None]], script: Script | None = None) -> Script:
    """Runs a scene; afterwards there is no name in /dev/shm, whatever it did."""
    script = script or Script()
    before = set(slab.SHARED_MEMORY.glob(f"{slab.PREFIX}*"))

    async def main() -> None:
        async with asyncio.timeout(20):
            await scene(script)

    asyncio.run(main())
    assert set(slab.SHARED_MEMORY.glob(f"{slab.PREFIX}*")) <= before
    return script


async def use(shared: SharedMemory, nbytes: int = PAGE, *, done: bool = True, final: bool = True) -> Slot | None:
    """Takes a slot and ends it."""
    with await shared.slot(nbytes, 1.0, errors_are_final=final) as slot:
        if slot is not None:
            slot.done = done
        return slot


async def hold(stack: AsyncExitStack, shared: SharedMemory, nbytes: int = PAGE) -> Slot | None:
    """Takes a slot and keeps it until the stack ends."""
    return stack.enter_context(await shared.slot(nbytes, 1.0, errors_are_final=True))


async def until(condition: Callable[[], bool]) -> None:
    """Waits for a condition."""
    while not condition():
        await asyncio.sleep(0.001)


def test_the_first_request_makes_a_slab_whose_name_is_gone_at_once() -> None:
    """The server has it mapped by then; it is unregistered at the end."""

    async def scene(script: Script) -> None:
        async with opened(script) as shared:
            assert script.asked == 0
            first, second = await use(shared), await use(shared)
            assert first is not None
            assert second is not None
            assert first.offset == second.offset
            assert script.names == [first.slab.name]
            assert not (slab.SHARED_MEMORY / first.slab.name).exists()
            assert (shared.statistics().requests, shared.statistics().retired) == (2, 0)

    assert play(scene).names == []


def test_requests_that_come_at_once_share_the_making_of_a_slab() -> None:
    async def scene(script: Script) -> None:
        async with opened(script) as shared:
            slots = await asyncio.gather(*(use(shared) for _ in range(3)))
            assert None not in slots
            assert script.asked == 1

    play(scene)


def test_slots_held_at_once_do_not_overlap_and_what_finds_none_goes_without() -> None:
    """Two slabs of four pages are eight slots, and no more."""

    async def scene(script: Script) -> None:
        async with opened(script) as shared, AsyncExitStack() as stack:
            slots = [await hold(stack, shared) for _ in range(9)]
            assert len({(slot.slab.name, slot.offset) for slot in slots if slot is not None}) == 8
            assert slots[8] is None
            assert shared.statistics().fallbacks == 1
            assert await use(shared, 5 * PAGE) is None  # larger than any slab: none is made for it
            assert script.asked == 2

    play(scene)


def test_an_abandoned_slot_is_never_given_out_again_and_worn_slabs_are_replaced() -> None:
    """A hundred requests, every one given up: each has had a place of its own, in two slabs at a time at most."""

    async def scene(script: Script) -> None:
        seen: set[tuple[str, int]] = set()
        async with opened(script) as shared:
            while len(seen) < 100:
                slot = await use(shared, done=False)
                if slot is None:  # both slabs are worn: one is about to be let go
                    await until(lambda: len(script.names) < 2)
                    continue
                place = (slot.slab.name, slot.offset)
                assert place not in seen
                seen.add(place)
                assert len(script.names) <= 2
            assert shared.statistics().retired == 100

    script = play(scene)
    assert len(script.gone) >= 25


def test_a_worn_slab_that_is_still_read_stays_registered_until_it_is_not() -> None:
    """The server's word counts. Meanwhile the other slab serves."""

    async def scene(script: Script) -> None:
        async with opened(script) as shared:
            slots = [await use(shared, done=False) for _ in range(4)]
            assert slots[0] is not None
            name = slots[0].slab.name
            script.in_use.add(name)
            assert await use(shared) is not None
            await asyncio.sleep(0)
            assert name in script.names
            script.in_use.clear()
            await until(lambda: name not in script.names)

    play(scene)


@pytest.mark.parametrize(("counts", "final"), [(True, False), (False, True)])
def test_nothing_is_unregistered_under_a_reader_that_the_server_does_not_count(
    counts: bool, final: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed ensemble of parallel steps, or a server before 2.50: only time tells, and a close has none."""
    monkeypatch.setattr(sharing, "CLOSE_S", 0.05)

    async def scene(script: Script) -> None:
        async with opened(script) as shared:
            slots = [await use(shared, done=False, final=final) for _ in range(4)]
            assert await use(shared) is not None  # of a second slab
            await asyncio.sleep(0.1)
            assert slots[0] is not None
            assert slots[0].slab.name in script.names

    script = play(scene, Script(counts=counts))
    assert len(script.names) == 1
    assert len(script.gone) == 1


def test_such_a_slab_is_unregistered_once_its_requests_are_over_by_any_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "QUIET_S", -0.95)  # 0.05 s after the request, whose own timeout is 1 s

    async def scene(script: Script) -> None:
        async with opened(script) as shared:
            for _ in range(5):
                await use(shared, done=False, final=False)
            await until(lambda: len(script.gone) == 1)

    play(scene)


def test_a_close_waits_for_cancelled_requests_and_then_leaves_the_server_its_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A region in use can't be unregistered; what is left there is its own copy of the mapping."""
    monkeypatch.setattr(sharing, "CLOSE_S", 0.1)

    async def scene(script: Script) -> None:
        async with opened(script) as shared:
            slot = await use(shared, done=False)
            assert slot is not None
            script.in_use.add(slot.slab.name)

    assert len(play(scene).names) == 1


def test_a_forgotten_region_is_replaced_and_not_unregistered() -> None:
    """As after a restart of the server: a new slab, since the old one has no name any more."""

    async def scene(script: Script) -> None:
        async with opened(script) as shared:
            with await shared.slot(PAGE, 1.0, errors_are_final=True) as first:
                assert first is not None
                script.names.clear()
                shared.lost(first)
            second = await use(shared)
            assert second is not None
            assert second.slab is not first.slab
            assert first.slab.name not in script.gone

    play(scene)


def test_a_server_that_forgets_every_region_is_left_alone_for_a_while() -> None:
    """Two servers behind one address: the rows travel in the requests."""

    async def scene(script: Script) -> None:
        async with opened(script) as shared:
            for _ in range(3):
                with await shared.slot(PAGE, 1.0, errors_are_final=True) as slot:
                    assert slot is not None
                    shared.lost(slot)
            assert await use(shared) is None
            assert script.asked == 3

    play(scene)


def test_a_refusal_is_told_once_and_not_asked_for_again_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line, however many requests; `open` raises it."""

    async def scene(script: Script) -> None:
        script.refusal = "this server has no such thing"
        async with opened(script) as shared:
            assert [await use(shared) for _ in range(5)] == [None] * 5
            assert script.asked == 1
            assert shared.statistics().fallbacks == 5
            with pytest.raises(RegistryError, match="no such thing"):
                await shared.open(1.0)

    with caplog.at_level(logging.WARNING, "client.shared_memory.sharing"):
        play(scene)
    assert [record.getMessage().count("no such thing") for record in caplog.records] == [1]


def test_a_machine_without_room_is_a_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(nbytes: int) -> None:
        raise SlabError("no room")

    monkeypatch.setattr(sharing, "Slab", no_room)

    async def scene(script: Script) -> None:
        async with opened(script) as shared:
            assert await use(shared) is None
            with pytest.raises(RegistryError, match="no room"):
                await shared.open(1.0)

    play(scene)


def test_a_request_does_not_wait_longer_for_a_slab_than_half_its_timeout() -> None:
    """A server that stands still: the close ends the registration, and removes the name."""

    class Silent(Script):
        async def register(self, name: str, nbytes: int) -> None:
            self.asked += 1
            await asyncio.Event().wait()

    async def scene(script: Script) -> None:
        async with opened(script) as shared:
            async with asyncio.timeout(10):
                with await shared.slot(PAGE, 0.02, errors_are_final=True) as slot:
                    assert slot is None
            with await shared.slot(PAGE, 0.02, errors_are_final=True) as slot:
                assert slot is None
            assert script.asked == 1

    play(scene, Silent())


def test_a_cancelled_request_retires_its_slot() -> None:
    async def scene(script: Script) -> None:
        async with opened(script) as shared:
            begun = asyncio.Event()

            async def request() -> None:
                with await shared.slot(PAGE, 1.0, errors_are_final=True):
                    begun.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(request())
            await begun.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert shared.statistics().retired == 1
            slot = await use(shared)
            assert slot is not None
            assert slot.offset == PAGE

    play(scene)


def test_a_slot_that_outlives_the_close_ends_quietly() -> None:
    async def scene(script: Script) -> None:
        async with AsyncExitStack() as stack:
            async with opened(script) as shared:
                assert await hold(stack, shared) is not None
            assert await use(shared) is None

    play(scene)
