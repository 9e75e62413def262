"""Renewing one table of a document."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.document import main, renewed
from selector.errors import UsageError

DOCUMENT = "# Results\n<!-- a -->\nold\n<!-- /a -->\nbetween\n<!-- b -->\n<!-- /b -->\nend\n"


def test_only_the_named_table_changes_and_doing_it_twice_changes_nothing_more() -> None:
    once = renewed(DOCUMENT, "a", "new\n")
    assert once == DOCUMENT.replace("old", "new")
    assert renewed(once, "a", "new") == once


@pytest.mark.parametrize("document", ["none", "<!-- a -->", "<!-- /a --><!-- a -->", DOCUMENT + DOCUMENT])
def test_missing_repeated_or_swapped_markers_are_refused(document: str) -> None:
    with pytest.raises(UsageError, match="<!-- a -->"):
        renewed(document, "a", "new")


def test_a_json_object_becomes_a_table(tmp_path: Path) -> None:
    (tmp_path / "doc.md").write_text(DOCUMENT)
    (tmp_path / "speed.json").write_text('{"seconds": 0.2, "same": true, "by_ipc": {"1": 2}}')
    arguments = [str(tmp_path / "doc.md"), "b", str(tmp_path / "speed.json")]
    CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert '| seconds | 0.2 |\n| same | true |\n| by_ipc | {"1": 2} |' in (tmp_path / "doc.md").read_text()
