"""Small pieces of HTML that several sections use: escaping, numbers, tables."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence


def text(value: object) -> str:
    """The value as HTML text, safe in attributes too; bytes of a path that are no text are shown escaped."""
    return html.escape(str(value).encode("utf-8", "backslashreplace").decode("utf-8"), quote=True)


def count(value: int) -> str:
    """A whole number with thousands apart."""
    return f"{value:,}"


def signed(value: float) -> str:
    """A typicality: three digits and its sign, with a true minus."""
    return f"{value:+#.3g}".rstrip(".").replace("-", "−")


def plain(value: float) -> str:
    """A size without a sign, three digits; "unknown" for NaN."""
    return "unknown" if math.isnan(value) else f"{value:.3g}".replace("-", "−")


def percent(share: float) -> str:
    """A share in [0, 1] as a whole percentage."""
    return f"{share:.0%}"


def duration(seconds: float) -> str:
    """Seconds as people say them: 0.42 s, 12.3 s, 3 min 05 s, 2 h 07 min."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def section(anchor: str, heading: str, lead: str, body: str) -> str:
    """A section of the page; `lead` is a sentence in HTML, "" for none."""
    intro = f'<p class="lead">{lead}</p>' if lead else ""
    return f'<section id="{anchor}" aria-labelledby="{anchor}-h"><h2 id="{anchor}-h">{text(heading)}</h2>{intro}{body}</section>'


def table(head: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]], label: str, kind: str = "") -> str:
    """A table in a box that scrolls sideways. head: (heading, CSS class of the column). rows: cells in HTML."""
    columns = "".join(f'<th scope="col" class="{css}">{text(name)}</th>' for name, css in head)
    lines = "".join(
        "<tr>" + "".join(f'<td class="{css}">{cell}</td>' for cell, (_, css) in zip(row, head, strict=True)) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(label)}"><table class="{kind}">'
        f"<thead><tr>{columns}</tr></thead><tbody>{lines}</tbody></table></div>"
    )
