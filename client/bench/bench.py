"""One run of `selector bench`: a configuration in, a report out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace

from client import contract
from client.bench.arrivals import offsets
from client.bench.bare import Bare, BarePath, BareRequests, Comparison, Engine, compare, try_ways
from client.bench.config import BenchConfig
from client.bench.load import MOST_OUTSTANDING, Load, Target, closed_loop, open_loop
from client.bench.measure import Level, measure
from client.bench.payloads import random_requests, spec
from client.bench.probe import Probe
from client.bench.report import Report
from client.bench.search import highest_rate
from client.bench.targets import SCORING_PATH, ClientTarget, ScoringPath, WireTarget, path_models
from client.config import ClientConfig
from client.contract import Model
from client.embedded.server import EmbeddedServer
from client.errors import ContractError, ServerError
from client.repository import read_identity
from client.scoring import ScoringClient
from client.wire import Connection, ServedModel, WireError, advisory, resolve

CALL_TIMEOUT_S = 10.0
KEPT_UP = 0.9
"""A target that answers less than this share of an offered rate does not keep it, however fast its answers are."""
LEAST_PER_INTERVAL = 2
"""Requests that an interval should see, on average, for a rate to be worth trying."""
Say = Callable[[str], None]


def run(config: BenchConfig, say: Say = lambda _: None) -> Report:
    """Measures what `config` asks for; `say` gets a line for the person who waits. Raises ClientError."""
    load_before = os.getloadavg()[0]
    with _servers(config) as (addresses, pid):
        report = asyncio.run(_bench(replace(config, servers=addresses), pid, say))
    return replace(report, config=config, embedded=pid is not None, machine_load=(load_before, os.getloadavg()[0]))


@contextmanager
def _servers(config: BenchConfig) -> Iterator[tuple[tuple[str, ...], int | None]]:
    if config.servers:
        yield config.servers, None
        return
    with EmbeddedServer(config.repository, threads=config.onnx_threads, device=config.device) as server:
        yield (server.grpc_url,), server.pid


@dataclass(frozen=True)
class _Session:
    """What a run holds while it runs."""

    config: BenchConfig
    target: Target
    probe: Probe
    models: Mapping[str, Model]
    max_batch: int
    say: Say
    client: ScoringClient | None = None


async def _bench(config: BenchConfig, pid: int | None, say: Say) -> Report:
    async with AsyncExitStack() as stack:
        addresses = await resolve(config.servers)
        connections = [
            Connection(a.text, config.security, target_name=a.name, transport=config.transport) for a in addresses
        ]
        for connection in connections:
            stack.push_async_callback(connection.close)
        probe = Probe(connections, pid)
        session = await stack.enter_async_context(_session(config, connections, probe, say))
        name, version = await connections[0].software(CALL_TIMEOUT_S)
        kept_rate = None
        if config.limit_ms is not None:
            levels, kept_rate = await _search(session, config.limit_ms)
        elif config.rates:
            levels = [await _rate(session, rate) for rate in config.rates]
        else:
            levels = [await _concurrency(session, level) for level in config.concurrency]
        report = Report(
            config=config,
            leaves=_leaves(session),
            request_rows=session.target.rows,
            server="tritonserver" if name == "triton" else name or "a server",
            server_version=version,
            embedded=False,
            cores=len(os.sched_getaffinity(0)),
            machine_load=(0.0, 0.0),
            levels=tuple(levels),
            kept_rate=kept_rate,
        )
        if config.bare:
            report = replace(report, comparison=await _compare(session, report))
        return replace(report, retries=_sent_again(session.client))


def _sent_again(client: ScoringClient | None) -> dict[str, int]:
    if client is None:
        return {}
    counted = client.statistics()
    return {**counted.retries, **({"hedge": counted.hedges} if counted.hedges else {})}


@asynccontextmanager
async def _session(
    config: BenchConfig, connections: list[Connection], probe: Probe, say: Say
) -> AsyncIterator[_Session]:
    """Opens the target: through the client if the model is one of the contract, else over the wire."""
    if config.model != SCORING_PATH and config.model not in contract.LEAVES + contract.ENSEMBLES:
        served = await _served(connections[0])
        for connection in connections:
            await connection.open_transport(CALL_TIMEOUT_S)
            if known := advisory(connection.address, await connection.version(CALL_TIMEOUT_S)):
                say(known)
        model = spec(served, config.model)
        most = max(1, served[config.model].max_batch)
        requests = random_requests(model, _batch(config, most), config.seed)
        yield _Session(config, WireTarget(connections, model, requests), probe, {model.name: model}, most, say)
        return
    in_flight = max(MOST_OUTSTANDING if config.rates or config.limit_ms else 0, *config.concurrency)
    async with AsyncExitStack() as stack:
        # Opened twice: how many rows are in flight depends on the batch, which depends on what is served.
        settings = ClientConfig(
            config.servers, security=config.security, transport=config.transport, repository=config.said
        )
        async with ScoringClient(settings) as client:
            most, models = client.max_batch, contract.models(client.geometry)
            if config.bare and client.identity != read_identity(config.repository):
                raise ContractError(f"--bare needs the served graphs: {config.repository} is another pipeline")
        batch = _batch(config, most)
        rows = in_flight * max(batch * (config.draws if config.model == SCORING_PATH else 1), most)
        client = await stack.enter_async_context(ScoringClient(replace(settings, rows_in_flight=rows)))
        target: Target
        if config.model == SCORING_PATH:
            target = ScoringPath(client, batch, config.draws, config.seed)
        else:
            target = ClientTarget(client, random_requests(models[config.model], batch, config.seed))
        await stack.enter_async_context(client.outages_told(say))
        yield _Session(config, target, probe, models, most, say, client)


async def _served(connection: Connection) -> dict[str, ServedModel]:
    try:
        names = await connection.model_names(CALL_TIMEOUT_S)
        return {name: await connection.model(name, CALL_TIMEOUT_S) for name in names}
    except WireError as error:
        raise ServerError(f"the server can't say what it serves: {error}") from error


def _batch(config: BenchConfig, most: int) -> int:
    if config.batch > most and config.model != SCORING_PATH:
        raise ContractError(f"{config.model} takes at most {most} rows in a request, not {config.batch}")
    return config.batch or most


def _leaves(session: _Session) -> tuple[str, ...]:
    model = session.models.get(session.config.model)
    return () if model is None else tuple(step.model for step in model.steps) or (model.name,)


async def _concurrency(session: _Session, level: int) -> Level:
    async with closed_loop(session.target, level) as load:
        return await _measured(session, load, "concurrency", level)


async def _rate(session: _Session, rate: float) -> Level:
    due = offsets(session.config.arrivals, rate, session.config.seed)
    async with open_loop(session.target, due) as load:
        return await _measured(session, load, "rate", rate)


async def _measured(session: _Session, load: Load, mode: str, level: float) -> Level:
    session.say(f"{session.config.model}: {mode} {level:g}")
    rows = session.target.rows
    return await measure(load, session.probe, session.config.measuring, mode=mode, level=level, request_rows=rows)


async def _search(session: _Session, limit_ms: float) -> tuple[list[Level], float]:
    """Rates tried in turn, the first being what one request at a time achieves, and the highest that was kept."""
    levels: list[Level] = []

    async def keeps(rate: float) -> bool:
        level = await _rate(session, rate)
        levels.append(level)
        kept_up = level.requests_per_s >= KEPT_UP * rate
        return kept_up and not level.failed and level.latency.at(session.config.percent) <= limit_ms

    alone = await _concurrency(session, 1)
    least = LEAST_PER_INTERVAL / session.config.measuring.interval_s
    return levels, await highest_rate(keeps, max(alone.requests_per_s, least), least)


async def _compare(session: _Session, report: Report) -> Comparison:
    config, best = session.config, report.best
    concurrency = int(best.load) if best.mode == "concurrency" else max(config.concurrency)
    session.say(f"{config.model}: served against bare at concurrency {concurrency}, {config.rounds} rounds")
    ways = try_ways(lambda engine: _bare(session, engine), config.onnx_threads, config.round_s / 4, config.device)
    return await compare(
        session.target,
        ways,
        session.probe,
        concurrency=concurrency,
        rounds=config.rounds,
        round_s=config.round_s,
    )


def _bare(session: _Session, engine: Engine) -> Bare:
    config = session.config
    if config.model != SCORING_PATH:
        requests = random_requests(session.models[config.model], session.target.rows, config.seed)
        return BareRequests(config.repository, config.model, engine, requests)
    images = _batch(config, session.max_batch)
    rows = dict(zip(path_models(), (images, images * config.draws, images), strict=True))
    parts = {
        name: tuple(
            random_requests(session.models[name], min(session.max_batch, count - start), config.seed)[0]
            for start in range(0, count, session.max_batch)
        )
        for name, count in rows.items()
    }
    return BarePath(config.repository, engine, parts)
