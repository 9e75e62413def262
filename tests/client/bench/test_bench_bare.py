"""The bare engine computes what the served graphs compute; the comparison alternates and counts whole requests."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from client import contract
from client.bench import bare
from client.bench.bare import BareModel, BarePath, BareRequests, Comparison, Engine, Round, Way, compare
from client.bench.payloads import random_requests
from tests.client.bench.fake_targets import FakeTarget, NoCounters
from tests.toy_repository import GEOMETRY, toy_feature, toy_latent, toy_loss, write_toy_repository

ENGINE = Engine(sessions=1, threads=1, spinning=False)
MODELS = contract.models(GEOMETRY)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_repository(tmp_path_factory.mktemp("bare") / "repository")


def test_an_ensemble_of_four_steps_computes_what_the_arithmetic_says(repository: Path) -> None:
    rows = random_requests(MODELS[contract.PATCH_SCORER], 3, seed=2)[0]
    inputs = {name: np.stack([row.inputs[name] for row in rows]) for name in rows[0].inputs}
    found = BareModel(repository, contract.PATCH_SCORER, ENGINE).run(inputs)
    for i, row in enumerate(rows):
        image, prompt = row.inputs["IMAGE"], int(row.inputs["PROMPT_ID"][0])
        indices = (prompt, int(row.inputs["REFERENCE_ID"][0]), int(row.inputs["DRAW"][0]))
        for name, expected in toy_loss(toy_latent(image), *indices).items():
            np.testing.assert_allclose(found[name][i], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found["FEATURE"][i], toy_feature(image, prompt), rtol=1e-4)


def test_the_bare_path_runs_every_batch_of_a_shard(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    monkeypatch.setattr(BareModel, "run", lambda self, inputs: ran.append(len(next(iter(inputs.values())))) or {})
    parts = {
        contract.VAE_ENCODER: random_requests(MODELS[contract.VAE_ENCODER], 2, 0)[:1],
        contract.NOISE_LOSS: random_requests(MODELS[contract.NOISE_LOSS], 8, 0)[:3],
    }
    path = BarePath(repository, ENGINE, parts)
    path.run(0)
    assert path.rows == 26
    assert ran == [2, 8, 8, 8]


def test_rounds_alternate_in_changing_order_and_serve_whole_requests(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    time_bare, time_served = bare._time_bare, bare._time_served

    def timed_bare(*arguments: object) -> object:
        order.append("bare")
        return time_bare(*arguments)  # type: ignore[arg-type]

    async def timed_served(*arguments: object) -> object:
        order.append("served")
        return await time_served(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(bare, "_time_bare", timed_bare)
    monkeypatch.setattr(bare, "_time_served", timed_served)
    requests = BareRequests(repository, contract.DIFT, ENGINE, random_requests(MODELS[contract.DIFT], 2, seed=0))
    target = FakeTarget(lambda _: 0.001, rows=2)
    ways = (Way(ENGINE, (requests,), 100.0), Way(Engine(1, 2, spinning=False), (requests,), 79.0))
    found = asyncio.run(compare(target, ways, NoCounters(), concurrency=2, rounds=3, round_s=0.02))
    assert order == ["served", "bare", "bare", "served", "served", "bare"]  # the second way was too slow to take part
    assert found.engine == ENGINE
    assert dict(found.tried)[ways[1].engine] == 79.0
    assert len(found.rounds) == 3
    assert all(each.served > 0 and each.bare > 0 for each in found.rounds)
    assert target.most_in_flight == 2


def test_the_server_is_compared_with_the_way_that_was_fastest_over_the_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with the one whose trial was."""
    lucky, steady = (Engine(1, threads, spinning=True) for threads in (2, 3))
    rates = {"lucky": iter([60.0, 50.0, 90.0]), "steady": iter([80.0, 70.0, 60.0])}
    monkeypatch.setattr(bare, "_time_bare", lambda sessions, seconds: (next(rates[sessions[0]]), 2.0))
    ways = (Way(lucky, ("lucky",), 100.0), Way(steady, ("steady",), 90.0))  # type: ignore[arg-type]
    target = FakeTarget(lambda _: 0.001, rows=2)
    found = asyncio.run(compare(target, ways, NoCounters(), concurrency=2, rounds=3, round_s=0.02))
    assert found.engine == steady
    assert [each.bare for each in found.rounds] == [80.0, 70.0, 60.0]
    assert dict(found.tried) == {lucky: 60.0, steady: 70.0}


@pytest.mark.parametrize("best", bare.engines(4), ids=str)
def test_every_way_of_using_the_threads_is_tried_three_times(monkeypatch: pytest.MonkeyPatch, best: Engine) -> None:
    class Timed:
        rows = 1

        def __init__(self, engine: Engine) -> None:
            self.engine = engine

        def run(self, number: int) -> None:
            """Takes no time: rates are told below."""

    timed: list[Engine] = []

    def rate(sessions: list[Timed], seconds: float) -> tuple[float, float]:
        timed.append(sessions[0].engine)
        lucky = 50 * (len(timed) == 1)  # one fast run among three decides nothing
        return (110.0 if sessions[0].engine == best else 100.0) + lucky, 0.0

    monkeypatch.setattr(bare, "_time_bare", rate)
    ways = bare.try_ways(Timed, threads=4, seconds=0.1)  # type: ignore[arg-type]
    assert timed == list(bare.engines(4)) * 3
    assert [len(way.sessions) for way in ways] == [way.engine.sessions for way in ways]
    assert {way.engine: way.rate for way in ways} == {e: 110.0 if e == best else 100.0 for e in bare.engines(4)}


def test_sessions_at_once_add_up_their_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter([(100, 2.0), (60, 1.0)])
    monkeypatch.setattr(bare, "_run_for", lambda session, seconds: next(told))
    rate, _ = bare._time_bare([object(), object()], 1.0)  # type: ignore[list-item]
    assert rate == pytest.approx(110)


def test_served_over_bare_is_the_median_of_the_rounds() -> None:
    rounds = tuple(Round(served, 100.0, {}, 1.0) for served in (99.0, 50.0, 96.0, 97.0, 120.0))
    assert Comparison(1, 1, ENGINE, rounds).median == pytest.approx(0.97)
