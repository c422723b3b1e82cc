"""A report as Markdown, its plots in files beside it."""

import re
from collections.abc import Sequence

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


def to_markdown(report: Report) -> str:
    """Return the report; every name in it is text, whatever signs it is made of."""
    parts = [f"# {_text(report.title)}", _text(report.summary)]
    parts += [f"**{_text(reply.question)}** {_text(reply.sentence)}" for reply in report.replies]
    for section in report.sections:
        parts.append(f"## {_text(section.title)}")
        parts += [_block(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    match block:
        case Paragraph(text):
            return _text(text)
        case Facts(rows):
            return "\n".join(f"- {_text(name)}: {_text(value)}" for name, value in rows)
        case Commands(lines):
            return "\n".join("    " + re.sub(r"\s+", " ", line) for line in lines)
        case Plot(name, caption):
            return f"![{_text(caption)}](plots/{name}.svg)\n\n*{_text(caption)}*"
        case _:
            return _table(block)


def _table(table: Table) -> str:
    heads = [_text(column.heading) for column in table.columns]
    figures = [_text(_rule(table, at)) for at in range(len(heads))]
    lines = [_row(heads), _row(figures)]
    for row in table.rows[:MOST_ROWS]:
        cells = zip(row, table.columns, strict=True)
        lines.append(_row([_text(shown(cell, column.form)) for cell, column in cells]))
    more = len(table.rows) - MOST_ROWS
    rest = f"\n\n{more} more rows are in tables/{table.name}.csv." if more > 0 else ""
    return f"*{_text(table.caption)}*\n\n" + "\n".join(lines) + rest


def _rule(table: Table, at: int) -> str:
    """Return what sets a column: to the left if it holds words."""
    return "---" if any(isinstance(row[at], str) for row in table.rows) else "--:"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    """Return a text in which no sign means anything."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", re.sub(r"\s+", " ", text))
