"""Commands about servers: serve and doctor. Work lies in the modules they call."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import click

from client.embedded.devices import Device
from client.ranges import ANY_PORT
from selector.builtin import builtin_repository
from selector.commands.configuration import security_of
from selector.commands.options import device_option, json_option, option, security_options, server_option
from selector.commands.parameters import FOLDER, PATH, Number
from selector.errors import UsageError
from selector.folders.files import check_file

_LOOK_S = 1.0
_OF_HTTP = (
    "everybody on this machine can take over Triton {} through its HTTP port (CVE-2025-23310, CVE-2025-23311): leave --http-port "
    "away where others have an account"
)


@click.command()
@click.argument("repository", type=FOLDER, required=False)
@option("--grpc-port", type=Number(ANY_PORT), default=8001, help="Port of gRPC on loopback; 0: a free one.")
@option("--http-port", type=Number(ANY_PORT), help="Port of HTTP on loopback; 0: a free one; default: no HTTP.")
@option("--metrics-port", type=Number(ANY_PORT), help="Port of metrics on loopback; 0: a free one; default: none.")
@option("--server-log", type=PATH, help="Where the server logs; default: a temporary file.")
@device_option
def serve(
    repository: Path | None,
    grpc_port: int,
    http_port: int | None,
    metrics_port: int | None,
    server_log: Path | None,
    device: Device,
) -> None:
    """Keep the embedded Triton server in the foreground until interrupted, open to everybody on this machine.

    Shared memory, traces and the log's settings are for those alone who can read the file that --header-file is to be given.
    """
    ports = (("--grpc-port", grpc_port), ("--http-port", http_port), ("--metrics-port", metrics_port))
    for (one, port), (other, same) in combinations(ports, 2):
        if port and port == same:
            raise UsageError(f"{one} and {other} are both {port}: give two ports, or 0 for free ones")
    if server_log is not None:
        check_file(server_log, "--server-log")
    from client.embedded.server import EmbeddedServer

    with EmbeddedServer(
        repository or builtin_repository(),
        log=server_log,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        guarded=True,
        device=device,
    ) as server:
        asked = (("HTTP ", server.http_url), ("metrics ", server.metrics_url))
        places = "".join(f", {what}{where}" for what, where in asked if where)
        click.echo(f"tritonserver {server.version}: gRPC {server.grpc_url}{places}, log {server.log}", err=True)
        click.echo(f"for shared memory, its clients take: --header-file {server.header_file}", err=True)
        if server.http_url:
            click.echo(_OF_HTTP.format(server.version), err=True)
        died = 0
        while not server.wait(_LOOK_S):
            if server.restarts > died:
                died = server.restarts
                click.echo(f"tritonserver died and was started again ({died} so far); its log: {server.log}", err=True)


@click.command()
@server_option
@security_options
@option("--repository", type=FOLDER, help="Triton repository to look at; with --server: what that is said to serve.")
@json_option
def doctor(servers: tuple[str, ...] | None, repository: Path | None, as_json: bool, **flags: Any) -> None:
    """Say in plain words what is there and what is missing."""
    from selector.doctor import examine

    findings = examine(servers or (), security_of(flags), repository)
    if as_json:
        click.echo(json.dumps([vars(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(f"{'ok ' if finding.ok else '-- '} {finding.what}: {finding.detail}")
    if any(not finding.ok and finding.needed for finding in findings):
        raise SystemExit(1)
