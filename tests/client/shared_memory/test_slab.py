"""Segments of shared memory and their slots, against a plain list of who holds which bytes."""

from __future__ import annotations

import os
import shutil
import stat
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.shared_memory import slab
from client.shared_memory.slab import ALIGNMENT, Extents, Slab, SlabError, Slot, aligned

SIZE = 64 * ALIGNMENT


@pytest.fixture
def small() -> Iterator[Slab]:
    """A slab of 16 KiB."""
    made = Slab(16 << 10)
    yield made
    made.close()


@given(st.data())
def test_slots_never_overlap_and_a_retired_one_is_never_given_out_again(data: st.DataObject) -> None:
    """Any sequence of taking, giving back and retiring; the bound is the size."""
    extents = Extents(SIZE)
    held: list[tuple[int, int]] = []
    retired: list[tuple[int, int]] = []
    for _ in range(data.draw(st.integers(1, 60))):
        if held and data.draw(st.booleans()):
            slot = held.pop(data.draw(st.integers(0, len(held) - 1)))
            if data.draw(st.integers(0, 4)):
                extents.give_back(*slot)
            else:
                retired.append(slot)
            continue
        nbytes = ALIGNMENT * data.draw(st.integers(1, 24))
        offset = extents.take(nbytes)
        kept = sorted(held + retired)
        if offset is None:
            # As large a gap is nowhere, so nothing was refused that there was room for.
            ends = [0, *(start + length for start, length in kept)]
            gaps = [start - end for end, start in zip(ends, [*(start for start, _ in kept), SIZE], strict=True)]
            assert max(gaps) < nbytes
        else:
            assert 0 <= offset <= SIZE - nbytes
            assert all(offset + nbytes <= start or start + length <= offset for start, length in kept)
            held.append((offset, nbytes))


@given(st.lists(st.integers(1, 8), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_what_is_all_given_back_is_one_whole_again(sizes: list[int], chance: object) -> None:
    """In whatever order."""
    extents = Extents(SIZE)
    slots = [(offset, ALIGNMENT * n) for n in sizes if (offset := extents.take(ALIGNMENT * n)) is not None]
    chance.shuffle(slots)  # type: ignore[attr-defined]
    for slot in slots:
        extents.give_back(*slot)
    assert extents.take(SIZE) == 0


def test_a_slot_comes_back_only_if_it_was_set_done(small: Slab) -> None:
    """The other one stays out, however often the first is taken again."""
    first, second = taken(small, 4096), taken(small, 4096)
    first.done = True
    small.end(first)
    small.end(second)
    assert (small.live, small.retired_bytes) == (0, 4096)
    offsets = set()
    while (slot := small.take(1000)) is not None:
        offsets.add(slot.offset)
    assert offsets
    assert all(offset + aligned(1000) <= second.offset or second.offset + 4096 <= offset for offset in offsets)


def test_the_segment_is_this_users_alone_and_what_is_written_is_in_it(small: Slab) -> None:
    """Read through the file, as a server would."""
    path = slab.SHARED_MEMORY / small.name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_uid == os.getuid()
    assert path.stat().st_blocks * 512 >= 16 << 10  # every page is there: none can be missing later
    slot = taken(small, 100)
    slot.memory[:5] = b"hello"
    assert path.read_bytes()[slot.offset : slot.offset + 5] == b"hello"


def test_names_differ_and_can_not_be_guessed(small: Slab) -> None:
    """128 bits of the system's randomness."""
    other = Slab(4096)
    try:
        assert other.name != small.name
        assert len(other.name.removeprefix(slab.PREFIX)) == 32
    finally:
        other.close()


def test_an_unlinked_segment_has_no_name_and_still_its_bytes(small: Slab) -> None:
    small.unlink()
    slot = taken(small, 8)
    slot.memory[:] = bytes(range(slot.nbytes))
    assert not (slab.SHARED_MEMORY / small.name).exists()
    assert bytes(slot.memory) == bytes(range(slot.nbytes))


def test_closing_leaves_no_name_and_no_mapping() -> None:
    made = Slab(4096)
    made.close()
    assert not (slab.SHARED_MEMORY / made.name).exists()
    assert made.name not in Path("/proc/self/maps").read_text()


def test_a_forked_child_would_not_have_the_segment(small: Slab) -> None:
    """It would keep the pages after this process let go of them. "dc" is the kernel's "do not copy on fork"."""
    _, _, of_it = Path("/proc/self/smaps").read_text().partition(small.name)
    flags = next(line for line in of_it.splitlines() if line.startswith("VmFlags:"))
    assert "dc" in flags.split()


def test_shrinking_gives_back_the_pages_of_free_slots_alone(small: Slab) -> None:
    """The retired one keeps its bytes, since a server may still read them."""
    small.unlink()
    retired, free = taken(small, 4096), taken(small, 4096)
    retired.memory[:] = free.memory[:] = b"x" * 4096
    free.done = True
    small.end(retired)
    small.end(free)
    small.shrink()
    assert bytes(retired.memory) == b"x" * 4096
    assert bytes(free.memory) == bytes(4096)


def test_a_full_shared_memory_is_an_error_and_leaves_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others' room is not taken: a server that finds none is killed."""
    usage = namedtuple("usage", "total used free")
    before = set(slab.SHARED_MEMORY.glob(f"{slab.PREFIX}*"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, slab.SPARE_BYTES + 4095))
    with pytest.raises(SlabError, match="has no room"):
        Slab(4096)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 1 << 62))
    with pytest.raises(SlabError, match="can't be had"):
        Slab(1 << 60)
    assert set(slab.SHARED_MEMORY.glob(f"{slab.PREFIX}*")) == before


def test_a_system_without_shared_memory_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slab, "SHARED_MEMORY", tmp_path / "nowhere")
    with pytest.raises(SlabError, match=r"has no .*nowhere"):
        Slab(4096)


def taken(made: Slab, nbytes: int) -> Slot:
    """A slot that there is."""
    slot = made.take(nbytes)
    assert slot is not None
    return slot
