"""The compose file through Docker Compose itself, which needs no engine to read it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.kit import COMPOSE, ELSEWHERE

compose = pytest.importorskip("compose", reason=ELSEWHERE)

PROGRAM = Path(compose.__file__).with_name("docker-compose")
FILE = COMPOSE / "compose.yaml"


def config(file: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [str(PROGRAM), "--file", str(file), "config", "--format", "json"]
    return subprocess.run(command, env=variables | {"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)


def services() -> dict[str, Any]:
    done = config(FILE, MODELS="/repository", GRAFANA_PASSWORD_FILE="/secret")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["services"])


def test_compose_takes_the_file() -> None:
    assert set(services()) == {"triton", "prometheus", "grafana"}


@pytest.mark.parametrize("missing", ["MODELS", "GRAFANA_PASSWORD_FILE"])
def test_a_place_that_was_not_named_is_asked_for(missing: str) -> None:
    given = {"MODELS": "/repository", "GRAFANA_PASSWORD_FILE": "/secret"}
    done = config(FILE, **{name: value for name, value in given.items() if name != missing})
    assert done.returncode != 0
    assert f"set {missing} to" in done.stderr


def test_a_word_that_compose_does_not_know_is_refused(tmp_path: Path) -> None:
    """Otherwise the tests before this one would say nothing."""
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(FILE.read_text().replace("cap_drop:", "cap_dorp:", 1))
    done = config(wrong, MODELS="/repository", GRAFANA_PASSWORD_FILE="/secret")
    assert done.returncode != 0
    assert "cap_dorp" in done.stderr


def test_nothing_is_reached_from_other_machines_and_http_is_off() -> None:
    found = services()
    ports = found["triton"]["ports"]
    assert {(port["host_ip"], port["target"]) for port in ports} == {("127.0.0.1", 8001), ("127.0.0.1", 8002)}
    assert "--allow-http=false" in found["triton"]["command"]
    assert "--web.listen-address=127.0.0.1:9090" in found["prometheus"]["command"]
    assert found["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    assert all(service["cap_drop"] == ["ALL"] for service in found.values())


def test_every_file_that_is_mounted_is_there() -> None:
    binds = [volume for service in services().values() for volume in service["volumes"] if volume["type"] == "bind"]
    sources = {Path(volume["source"]) for volume in binds} - {Path("/repository")}
    assert len(sources) == 5
    assert all(source.exists() and volume["read_only"] for source, volume in zip(sources, binds, strict=False))


def test_the_server_may_drain_before_it_is_killed() -> None:
    triton = services()["triton"]
    exit_s = next(int(flag.partition("=")[2]) for flag in triton["command"] if flag.startswith("--exit-timeout"))
    assert triton["stop_grace_period"] == "45s"
    assert exit_s < 45


def test_grafana_finds_its_source_and_its_dashboard() -> None:
    provisioning = COMPOSE / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "selector.yml").read_text())["providers"]
    mounted = {volume["target"] for volume in services()["grafana"]["volumes"]}
    assert source["url"] == "http://127.0.0.1:9090"
    assert f"{provider['options']['path']}/selector.json" in mounted
