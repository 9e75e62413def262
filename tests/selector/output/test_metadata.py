"""What is read of --metadata, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from selector.errors import UsageError
from selector.output.metadata import read_metadata


def read(tmp_path: Path, content: str, name: str = "set.toml") -> dict[str, object]:
    (tmp_path / name).write_text(content, encoding="utf-8")
    return read_metadata(tmp_path / name)


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    toml = 'name = "n"\ndate = 2026-01-31\nkeywords = ["a"]\n[creator]\ntype = "Person"\nname = "Ä"\n'
    json = '{"name": "n", "date": "2026-01-31", "keywords": ["a"], "creator": [{"type": "Person", "name": "Ä"}]}'
    expected = {
        "name": "n",
        "date": "2026-01-31",
        "keywords": ["a"],
        "creator": [{"type": "Person", "name": "Ä"}],
    }
    assert read(tmp_path, toml) == read(tmp_path, json, "set.json") == expected


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("set.yaml", "name: n", "a file of JSON or TOML"),
        ("set.toml", "name = ", "can't be read as TOML"),
        ("set.json", "{", "can't be read as JSON"),
        ("set.json", "[1]", "must hold one object"),
        ("set.toml", 'licence = "MIT"', "licence is not known: expected some of name, description, url, license"),
        ("set.toml", "name = 3", "name must be a text that is not empty, not 3"),
        ("set.toml", 'name = " "', "name must be a text that is not empty"),
        ("set.toml", 'keywords = "a"', "keywords must be a list of texts"),
        ("set.toml", 'creator = "Nobody"', "creator must have type, name and, if known, url and email"),
        ("set.toml", 'creator = {type = "Cat", name = "Tom"}', "type must be Person or Organization, not 'Cat'"),
        ("set.toml", 'creator = {type = "Person", name = "Tom", age = 3}', "creator must have type, name"),
        ("set.toml", 'date = "soon"', "date must be a date as 2026-01-31"),
    ],
)
def test_a_mistake_names_the_file_and_the_field(name: str, content: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--metadata: ") as refused:
        read(tmp_path, content, name)
    assert says in str(refused.value)
    assert name in str(refused.value)
