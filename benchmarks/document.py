"""Puts a measured table into a document, between its two markers, so that one command renews one table.

Owns the markers `<!-- NAME -->` and `<!-- /NAME -->`. Must not know what the tables say.

    python -m benchmarks.document docs/results/students.md students runs/results/students/results.md
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from selector.errors import UsageError


def renewed(document: str, name: str, content: str) -> str:
    """The document with `content` between the markers of `name`; raises UsageError if they are not there once."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if document.count(start) != 1 or document.count(end) != 1 or document.index(start) > document.index(end):
        raise UsageError(f"the document needs {start} and {end} once each, in this order")
    before, _, rest = document.partition(start)
    return f"{before}{start}\n{content.strip()}\n{end}{rest.partition(end)[2]}"


def as_table(values: dict[str, object]) -> str:
    """A flat JSON object as a table of two columns; nested values as JSON."""
    rows = [f"| {key} | {value if isinstance(value, str) else json.dumps(value)} |" for key, value in values.items()]
    return "\n".join(["| Quantity | Value |", "|---|---|", *rows])


@click.command()
@click.argument("document", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("name")
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(document: Path, name: str, source: Path) -> None:
    """Renew the table NAME of DOCUMENT from SOURCE: Markdown as it is, a flat JSON object (.json) as a table."""
    content = source.read_text()
    if source.suffix == ".json":
        content = as_table(json.loads(content))
    document.write_text(renewed(document.read_text(), name, content))


if __name__ == "__main__":
    main()
