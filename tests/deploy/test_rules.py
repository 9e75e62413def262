"""Rules and configuration through promtool, which is Prometheus's own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.kit import COMPOSE, ELSEWHERE, RULES, program, rules

pytest.importorskip("helm_python", reason=ELSEWHERE)  # the environment whose program this is

UNIT_TESTS = Path(__file__).parent / "rules_test.yml"


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program("promtool"), *map(str, arguments)], capture_output=True, text=True)


def test_the_rules_are_rules() -> None:
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stderr
    assert f"{len(rules())} rules found" in done.stdout


def test_the_configuration_of_compose_is_one(tmp_path: Path) -> None:
    """With the places of its container where its files lie here."""
    text = (COMPOSE / "prometheus.yml").read_text()
    places = {"/etc/prometheus/rules.yml": RULES, "/etc/prometheus/clients.yml": COMPOSE / "clients.yml"}
    for inside, here in places.items():
        assert inside in text
        text = text.replace(inside, str(here))
    (tmp_path / "prometheus.yml").write_text(text)
    done = promtool("check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_when_it_should_and_only_then() -> None:
    tested = {
        case["alertname"]
        for test in yaml.safe_load(UNIT_TESTS.read_text())["tests"]
        for case in test["alert_rule_test"]
    }
    assert tested == {rule["alert"] for rule in rules() if "alert" in rule}
    done = promtool("test", "rules", UNIT_TESTS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("good", "bad"), [("== 0", "== 1"), ("> 0.2", "> 0.02"), ("0.5 *", "0.01 *"), ("5e9", "5e8")])
def test_a_rule_that_was_turned_round_is_noticed(tmp_path: Path, good: str, bad: str) -> None:
    """By those tests; else they would say nothing."""
    assert good in RULES.read_text()
    (tmp_path / "rules.yml").write_text(RULES.read_text().replace(good, bad, 1))
    told = UNIT_TESTS.read_text().replace("../../deploy/helm/selector-triton/files/rules.yml", "rules.yml")
    (tmp_path / "test.yml").write_text(told)
    assert promtool("test", "rules", tmp_path / "test.yml").returncode != 0
