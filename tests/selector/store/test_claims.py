"""Claims on shards."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from selector.store.claims import FOLDER, STALE_S, Claims, Writer, _host, claims, writers


def test_a_shard_is_claimed_by_one(tmp_path: Path) -> None:
    one, two = Claims(tmp_path, "1/2"), Claims(tmp_path, "2/2")
    with one.registered(), two.registered():
        assert one.take("images", 3)
        assert not two.take("images", 3)
        assert not one.take("images", 3)
        assert two.take("patches", 3)
        assert [(c.stage, c.shard, c.writer.part, c.live) for c in claims(tmp_path)] == [
            ("images", 3, "1/2", True),
            ("patches", 3, "2/2", True),
        ]
        one.release("images", 3)
        assert two.take("images", 3)
        assert not one.alone()
    assert writers(tmp_path) == []


def test_what_a_killed_process_of_this_machine_claimed_is_free_at_once(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from selector.store.claims import Claims\n"
        "claims = Claims(Path(sys.argv[1]), '')\n"
        "with claims.registered():\n    assert claims.take('images', 7)\n    os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=root, check=False)
    assert [one.live for one in claims(tmp_path)] == [False]
    assert writers(tmp_path) == []
    mine = Claims(tmp_path, "")
    with mine.registered():
        assert mine.take("images", 7)


def test_a_process_elsewhere_lives_as_long_as_it_says_so(tmp_path: Path) -> None:
    mine = Claims(tmp_path, "")
    with mine.registered():
        beat = _elsewhere(tmp_path)
        (tmp_path / FOLDER / "images-00004").symlink_to(beat.name)
        assert not mine.take("images", 4)
        os.utime(beat, (beat.stat().st_mtime - STALE_S - 1,) * 2)
        assert [one.live for one in claims(tmp_path)] == [False]
        assert mine.take("images", 4)


def test_the_clock_of_a_machine_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = Claims(tmp_path, ""), Claims(tmp_path, "")
    with one.registered(), two.registered():
        assert one.take("images", 0)
        for hour in (-3600, 3600):
            monkeypatch.setattr("time.time", lambda hour=hour: 1.7e9 + hour)
            assert not two.take("images", 0)
            assert len(writers(tmp_path)) == 2


def test_a_writer_whose_time_lies_ahead_is_gone_since_the_clock_was_set_back(tmp_path: Path) -> None:
    mine = Claims(tmp_path, "")
    with mine.registered():
        away = _elsewhere(tmp_path)
        (tmp_path / FOLDER / "images-00004").symlink_to(away.name)
        os.utime(away, (away.stat().st_mtime + 3600,) * 2)
        assert mine.take("images", 4), "else all would wait for an hour"


def test_a_store_that_can_not_be_written_still_says_who_works_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **_: object) -> None:  # as a mode would do, but of root
        raise PermissionError(13, "Permission denied", str(path))

    with Claims(tmp_path, "1/2").registered():
        _elsewhere(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "touch", refuse)
            assert [one.part for one in writers(tmp_path)] == ["2/2", "1/2"]


def test_what_killed_writers_left_goes_with_the_next_that_ends(tmp_path: Path) -> None:
    with Claims(tmp_path, "").registered():
        silent, away, dead = _elsewhere(tmp_path), _elsewhere(tmp_path), _elsewhere(tmp_path, host=_host())
        os.utime(silent, (silent.stat().st_mtime - 90_000,) * 2)
        for shard, path in enumerate((silent, away, dead)):
            (tmp_path / FOLDER / f"images-{shard:05d}").symlink_to(path.name)
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == ["images-00001", away.name]


def _elsewhere(store: Path, host: str = "node7/pid:[1]") -> Path:
    """The file of a writer that runs on another machine, or ran on this one."""
    away = replace(Writer.here("2/2"), host=host, pid=2**22 + 1)
    path = store / FOLDER / f"writer.{away.id}"
    path.write_text(json.dumps(asdict(away)))
    return path


def test_beats_move_the_time_of_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selector.store.claims._BEAT_S", 0.01)
    mine = Claims(tmp_path, "")

    async def a_while() -> float:
        async with mine.beating():
            while beat.stat().st_mtime <= 1:
                await asyncio.sleep(0.01)
        return beat.stat().st_mtime

    with mine.registered():
        (beat,) = (tmp_path / FOLDER).glob("writer.*")
        os.utime(beat, (1, 1))
        assert asyncio.run(asyncio.wait_for(a_while(), 30)) > 1
