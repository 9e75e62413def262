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

from selector.store.claims import FOLDER, STALE_S, Claims, Writer, claims, writers


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
        away = replace(Writer.here("2/2"), host="node7/pid:[1]", pid=1)
        beat = tmp_path / FOLDER / f"writer.{away.id}"
        beat.write_text(json.dumps(asdict(away)))
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


def test_beats_move_the_time_of_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selector.store.claims._BEAT_S", 0.01)
    mine = Claims(tmp_path, "")

    async def a_while() -> float:
        async with mine.beating():
            await asyncio.sleep(0.2)
        return beat.stat().st_mtime

    with mine.registered():
        (beat,) = (tmp_path / FOLDER).glob("writer.*")
        os.utime(beat, (1, 1))
        assert asyncio.run(a_while()) > 1
