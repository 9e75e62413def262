"""The chart through a real Helm: linted, rendered, and every manifest held against the schema of its kind."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.kit import CHART, COMPOSE, DASHBOARD, ELSEWHERE, RULES, command_of

helm = pytest.importorskip("helm_python", reason=ELSEWHERE)
kubernetes = pytest.importorskip("kubernetes_validate", reason=ELSEWHERE)
jsonschema = pytest.importorskip("jsonschema", reason=ELSEWHERE)

OLDEST, NEWEST = "1.27", "1.37"
CRDS = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent / "crds").glob("*.json")}
VALUES = {path.stem.removesuffix("-values"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}
INFO = 1
"""Severity of what Helm merely recommends."""

Manifests = dict[str, dict[str, Any]]


def values(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load(VALUES[name].read_text()))


def rendered(given: dict[str, Any]) -> list[dict[str, Any]]:
    with helm.Chart.load(CHART) as chart:
        files = chart.render(values=given, name="demo", namespace="models")
    manifests = (text for name, text in files.items() if not name.endswith("NOTES.txt"))
    return [document for text in manifests for document in yaml.safe_load_all(text) if document]


def by_kind(given: dict[str, Any]) -> Manifests:
    found = rendered(given)
    assert len({document["kind"] for document in found}) == len(found)
    return {document["kind"]: document for document in found}


def pod(manifests: Manifests) -> dict[str, Any]:
    return dict(manifests["Deployment"]["spec"]["template"])


def container(manifests: Manifests) -> dict[str, Any]:
    return dict(pod(manifests)["spec"]["containers"][0])


def validate(document: dict[str, Any], version: str) -> None:
    """Raises a ValidationError of one of the two if the manifest is not what its schema says."""
    if document["kind"] in CRDS:
        jsonschema.validate(document, CRDS[document["kind"]])
    else:
        kubernetes.validate(document, version, strict=True)


def test_there_are_values_for_one_gpu_a_fleet_and_no_gpu() -> None:
    assert set(VALUES) == {"one-gpu", "fleet", "cpu"}


@pytest.mark.parametrize("name", VALUES)
def test_helm_finds_nothing_wrong_with_the_chart(name: str) -> None:
    report = helm.lint(CHART, values=values(name), strict=True)
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > INFO] == []


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", VALUES)
def test_every_manifest_is_what_kubernetes_takes(name: str, version: str) -> None:
    for document in rendered(values(name)):
        validate(document, version)


def test_the_schemas_refuse_what_is_wrong() -> None:
    """Otherwise the test before this one would say nothing."""
    found = by_kind(values("fleet"))
    for kind, path in (
        ("ScaledObject", ("spec", "scaleTargetRef")),
        ("ServiceMonitor", ("spec", "selector")),
        ("PodMonitor", ("spec", "selector")),
        ("PrometheusRule", ("spec",)),
        ("Deployment", ("spec", "template", "spec")),
    ):
        broken = json.loads(json.dumps(found[kind]))
        inner = broken
        for key in path:
            inner = inner[key]
        inner["surprise"] = 1
        with pytest.raises((jsonschema.ValidationError, kubernetes.ValidationError), match="surprise"):
            validate(broken, NEWEST)


@pytest.mark.parametrize(
    "wrong",
    [
        {"replcas": 2},
        {"gpu": {"count": -1}},
        {"autoscaling": {"minReplicas": 0}},
        {"autoscaling": {"rowsPerSecond": 0}},
        {"repository": {"claim": ""}},
        {"repository": {"claim": "models", "path": "../elsewhere/$(id)"}},
        {"image": {"digest": "sha256:12"}},
        {"clients": {"podLabels": None}},
        {"server": {"extraArguments": ["rm -r /"]}},
    ],
    ids=str,
)
def test_values_that_can_not_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(helm.HelmError, match=next(iter(wrong))):
        rendered(wrong)


@pytest.mark.parametrize("name", VALUES)
def test_what_selects_pods_selects_those_of_the_deployment(name: str) -> None:
    found = by_kind(values(name))
    labels = pod(found)["metadata"]["labels"].items()
    selectors = [found["Deployment"]["spec"]["selector"]["matchLabels"], found["Service"]["spec"]["selector"]]
    for kind, key in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        if kind in found:
            selectors.append(found[kind]["spec"][key]["matchLabels"])
    assert len(selectors) == (2 if name == "cpu" else 4)
    assert all(selector.items() <= labels for selector in selectors)


def test_a_fleet_is_found_by_one_name_scaled_by_rows_left_and_scraped() -> None:
    found = by_kind(values("fleet"))
    service, scaled = found["Service"], found["ScaledObject"]
    assert service["spec"]["clusterIP"] == "None"
    assert not service["spec"]["publishNotReadyAddresses"]
    assert "replicas" not in found["Deployment"]["spec"], "what scales owns it"
    assert scaled["spec"]["scaleTargetRef"]["name"] == found["Deployment"]["metadata"]["name"]
    trigger = scaled["spec"]["triggers"][0]["metadata"]
    assert trigger["query"] == 'sum(selector_rows_left{namespace="research"})'
    assert int(trigger["threshold"]) == 62.5 * 7200
    monitored = found["ServiceMonitor"]["spec"]["selector"]["matchLabels"]
    assert monitored.items() <= service["metadata"]["labels"].items()
    assert found["ServiceMonitor"]["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    assert found["PrometheusRule"]["spec"] == yaml.safe_load(RULES.read_text())
    assert json.loads(found["ConfigMap"]["data"]["selector.json"]) == json.loads(DASHBOARD.read_text())


def test_grpc_alone_is_admitted_and_metrics_for_prometheus_and_nothing_gets_out() -> None:
    policy = by_kind(values("one-gpu"))["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    admitted = {entry["ports"][0]["port"]: entry["from"] for entry in policy["ingress"]}
    assert {len(entry["ports"]) for entry in policy["ingress"]} == {1}
    assert set(admitted) == {8001, 8002}
    assert all(peer["podSelector"]["matchLabels"] for peers in admitted.values() for peer in peers), "{} is everybody"


def test_a_server_that_leaves_has_time_to_drain() -> None:
    found = by_kind({"server": {"drainSeconds": 20, "exitSeconds": 12}})
    spec, one = pod(found)["spec"], container(found)
    assert one["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "20"]
    assert "--exit-timeout-secs=12" in one["args"]
    assert spec["terminationGracePeriodSeconds"] > 20 + 12
    assert {one[probe]["grpc"]["port"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")} == {8001}


def test_a_gpu_is_asked_for_where_there_is_one() -> None:
    assert container(by_kind({}))["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container(by_kind({}))["resources"]["limits"].keys() == {"memory", "nvidia.com/gpu"}
    without = container(by_kind(values("cpu")))
    assert "nvidia.com/gpu" not in without["resources"]["limits"]
    assert "--allow-gpu-metrics=false" in without["args"]


def test_compose_starts_the_server_as_the_chart_does() -> None:
    service = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]["triton"]
    there = [part.replace("$$", "$") for part in service["command"]]
    assert there == command_of(container(by_kind({})))


def test_the_key_of_what_is_restricted_is_another_at_every_start(tmp_path: Path) -> None:
    server = tmp_path / "tritonserver"
    server.write_text('#!/bin/sh\nfor one in "$@"; do echo "$one"; done\n')
    server.chmod(0o755)
    command = command_of(container(by_kind({})))

    def flags() -> list[str]:
        done = subprocess.run(
            command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    first, second = flags(), flags()
    assert first[:-1] == second[:-1] == command[command.index("tritonserver") + 1 :]
    assert first[-1] != second[-1]
    assert first[-1].startswith("--grpc-restricted-protocol=shared-memory,trace,logging:nobody=")
    assert len(first[-1].rpartition("=")[2]) == 48
