"""What DATA may be on the command line."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from selector.commands.parameters import DATA
from selector.images.locations import Location


def test_a_url_and_a_pattern_are_locations_and_what_exists_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "photos[1]").mkdir()
    assert DATA.convert("s3://bucket/data.tar", None, None) == Location("s3://bucket/data.tar")
    assert DATA.convert(f"{tmp_path}/*.tar", None, None) == Location(f"{tmp_path}/*.tar")
    assert DATA.convert(f"{tmp_path}/photos[1]", None, None) == tmp_path / "photos[1]"
    assert DATA.convert(tmp_path, None, None) == tmp_path


@pytest.mark.parametrize("value", ["none", "", "a\0b", "a\0*"])
def test_a_path_that_leads_nowhere_is_refused(value: str) -> None:
    with pytest.raises(click.BadParameter):
        DATA.convert(value, None, None)
