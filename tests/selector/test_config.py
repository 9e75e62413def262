"""What a command may be asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from client.wire.security import Security
from selector.config import ScoreConfig, SelectConfig, plain
from selector.errors import UsageError

HERE = Path()


@pytest.mark.parametrize(("text", "allowed"), [("0", 0), ("7", 7), ("1%", 3), ("0.5%", 1), ("100%", 300)])
def test_max_failed_is_a_count_or_a_percentage_of_the_files_seen(text: str, allowed: int) -> None:
    assert ScoreConfig(HERE, HERE, HERE, max_failed=text).failed_allowed(300) == allowed


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("draws", 0),
        ("fit", "stretch"),
        ("patch_fraction", (0.4, 0.0)),
        ("max_failed", "few"),
        ("patches_per_image", 0),
        ("centring", "sharp"),
        ("metrics_address", "::1:9101"),
        ("trace", "00-0-0-00"),
    ],
)
def test_a_setting_that_can_not_be_is_refused_by_its_flag(field: str, value: object) -> None:
    with pytest.raises(UsageError, match="--" + field.replace("_", "-")):
        ScoreConfig(HERE, HERE, HERE, **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ({"class_names": HERE / "names.txt", "unlabelled": True}, "--class-names is .* with --unlabelled none is one"),
        (
            {"limit_per_class": 3, "unlabelled": True},
            "--limit-per-class is .* with --unlabelled none is one: leave it out",
        ),
        ({"assign_draws": 2}, "--assign-draws is about classes that the model chooses: add --unlabelled"),
        ({"assign_most": 2}, "--assign-most is about classes that the model chooses: add --unlabelled"),
        ({"min_margin": 0.1}, "--min-margin is about classes that the model chooses: add --unlabelled"),
        ({"min_margin": -0.1, "unlabelled": True}, "--min-margin must be"),
        ({"assign_draws": 0, "unlabelled": True}, "--assign-draws must be"),
    ],
)
def test_labels_and_classes_of_the_model_do_not_go_together(given: dict[str, Any], remedy: str) -> None:
    with pytest.raises(UsageError, match=remedy):
        ScoreConfig(HERE, HERE, HERE, **given)


def test_ipc_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="--ipc"):
        SelectConfig(ipc=0, out=HERE)


def test_no_secret_is_shown() -> None:
    """Logs are shared."""
    config = ScoreConfig(HERE, HERE, HERE, security=Security(tls_ca="ca.pem", headers=(("authorization", "hunter2"),)))
    assert "hunter2" not in repr(config)


def test_what_is_recorded_of_a_selection_survives_json() -> None:
    """And whether it waited for another process is no part of it."""
    recorded = plain(SelectConfig(ipc=3, out=HERE / "out", exclude=("cache",), wait=False))
    assert json.loads(json.dumps(recorded)) == recorded == plain(SelectConfig(3, HERE / "out", exclude=("cache",)))
    assert (recorded["out"], recorded["exclude"], recorded["order"]) == ("out", ["cache"], "herding")
