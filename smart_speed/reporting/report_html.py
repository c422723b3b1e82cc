"""A report as one page that stands alone: no scripts, fonts or pictures from elsewhere."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any

from smart_speed.reporting.report_document import (
    MOST_ROWS,
    Block,
    Commands,
    Facts,
    Paragraph,
    Plot,
    Report,
    Table,
    shown,
)

_LONG_TEXT = 40
_FOLDED_ROWS = 30
"""A table of more is shown when it is asked for."""
INK = "#1d1c1a"
"""What plots are drawn in where they mean no series: the page's own colour takes its place."""


def to_html(report: Report, plots: Mapping[str, str]) -> str:
    """Return the report.

    Args:
        report: To be shown.
        plots: Each plot's SVG, by name; a plot without is left out.
    """
    template = resources.files("smart_speed.reporting").joinpath("report.html")
    places = list(enumerate(report.sections))
    return Template(template.read_text(encoding="utf-8")).substitute(
        title=escape(report.title),
        summary=escape(report.summary),
        replies="".join(
            f"<div><dt>{escape(reply.question)}</dt><dd>{escape(reply.sentence)}</dd></div>"
            for reply in report.replies
        ),
        contents="".join(
            f'<li><a href="#part-{at}">{escape(section.title)}</a></li>' for at, section in places
        ),
        sections="".join(
            f'<section id="part-{at}"><h2>{escape(section.title)}</h2>'
            + "".join(_block(block, plots) for block in section.blocks)
            + "</section>\n"
            for at, section in places
        ),
    )


def _block(block: Block, plots: Mapping[str, str]) -> str:
    match block:
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Facts(rows):
            items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(is_)}</dd>" for name, is_ in rows)
            return f'<dl class="facts">{items}</dl>'
        case Commands(lines):
            return f"<pre>{escape(chr(10).join(lines))}</pre>"
        case Plot(name, caption):
            return _plot(name, caption, plots[name]) if name in plots else ""
        case _:
            return _table(block)


def _plot(name: str, caption: str, svg: str) -> str:
    return (
        f'<figure><div class="wide">{inlined(name, caption, svg)}</div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def inlined(name: str, caption: str, svg: str) -> str:
    """Return an SVG as a part of a page: its own ids, the page's colour, no prologue.

    Args:
        name: Put before ids, so that those of two drawings differ.
        caption: Read out instead of the drawing.
        svg: As matplotlib writes it.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = svg.replace(INK, "currentColor")
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(caption)}"', 1)


def _table(table: Table) -> str:
    kinds = [_kind(table, at) for at in range(len(table.columns))]
    heads = "".join(
        f'<th scope="col"{kind}>{escape(column.heading)}</th>'
        for column, kind in zip(table.columns, kinds, strict=True)
    )
    rows = "".join(_row(row, table, kinds) for row in table.rows[:MOST_ROWS])
    more = len(table.rows) - MOST_ROWS
    rest = f"<p>{more} more rows are in tables/{escape(table.name)}.csv.</p>" if more > 0 else ""
    caption = escape(table.caption)
    folded = table.folded or len(table.rows) > _FOLDED_ROWS
    box = (
        f'<div class="wide" tabindex="0"><table>{"" if folded else f"<caption>{caption}</caption>"}'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{rest}"
    )
    return f"<details><summary>{caption}</summary>{box}</details>" if folded else box


def _row(row: Sequence[Any], table: Table, kinds: Sequence[str]) -> str:
    cells = [
        f"<td{kind}>{escape(shown(cell, column.form))}</td>"
        for cell, column, kind in zip(row, table.columns, kinds, strict=True)
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _kind(table: Table, at: int) -> str:
    """Return how a column is set: figures to the right, sentences not too narrow."""
    texts = [row[at] for row in table.rows if isinstance(row[at], str)]
    if not texts:
        return ' class="n"'
    return ' class="long"' if max(map(len, texts)) > _LONG_TEXT and at else ""
