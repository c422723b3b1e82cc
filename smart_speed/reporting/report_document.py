"""A report as data: sections of sentences, tables and plots, in no format yet."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

MOST_ROWS = 60
"""Of a table that is shown; the rest is in its file alone."""


class Reply(NamedTuple):
    """A question that the report's first lines answer."""

    question: str
    sentence: str


class Column(NamedTuple):
    """Of a table."""

    name: str
    """In files."""
    heading: str
    """On paper."""
    form: str = ""
    """How figures are shown: a format, "s" for seconds, "ms" for seconds shown in thousandths."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of raw values; a cell may be an interval of value, low and high, or ``None``."""

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    folded: bool = False
    """Whether it is shown only when it is asked for, because plot or text say the same."""

    def to_json(self) -> dict[str, Any]:
        """Return what it holds, each row an object by the columns' names."""
        names = [each.name for each in self.columns]
        rows = [dict(zip(names, row, strict=True)) for row in self.rows]
        return {"caption": self.caption, "rows": rows}

    def to_csv(self) -> str:
        """Return it as comma-separated values; an interval takes three columns."""
        wide = [
            any(isinstance(row[at], Mapping) for row in self.rows)
            for at in range(len(self.columns))
        ]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        heads: list[str] = []
        for column, is_wide in zip(self.columns, wide, strict=True):
            ends = [f"{column.name}_low", f"{column.name}_high"] if is_wide else []
            heads += [column.name, *ends]
        writer.writerow(heads)
        for row in self.rows:
            writer.writerow(_flat(row, wide))
        return out.getvalue()


class Paragraph(NamedTuple):
    """Some sentences."""

    text: str


class Facts(NamedTuple):
    """Names and what they are."""

    rows: Sequence[tuple[str, str]]


class Commands(NamedTuple):
    """Lines to be typed."""

    lines: Sequence[str]


class Plot(NamedTuple):
    """A drawing that is kept beside the report."""

    name: str
    caption: str


Block = Paragraph | Facts | Commands | Table | Plot


class Section(NamedTuple):
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All of it."""

    title: str
    summary: str
    replies: Sequence[Reply]
    sections: Sequence[Section]

    @property
    def tables(self) -> list[Table]:
        """Every table, in order."""
        blocks = [block for section in self.sections for block in section.blocks]
        return [block for block in blocks if isinstance(block, Table)]


def shown(cell: Any, form: str = "") -> str:
    """Return a cell as people read it: a dash for what is not known."""
    if isinstance(cell, Mapping):
        value, low, high = (cell[name] for name in ("value", "low", "high"))
        if low is None or high is None:
            return shown(value, form)
        # A dash before a minus would be read as two of them.
        between = " to " if low < 0 else "–"
        return f"{shown(value, form)} ({shown(low, form)}{between}{shown(high, form)})"
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, str):
        return cell
    if form == "ms":
        return f"{cell * 1e3:.1f} ms"
    if form == "s":
        return f"{cell:.2f} s"
    # What rounds to zero has no sign.
    signless = isinstance(cell, float) and form and form[0] in ".0123456789"
    return format(cell, f"z{form}" if signless else form)


def _flat(row: Sequence[Any], wide: Sequence[bool]) -> list[Any]:
    cells: list[Any] = []
    for cell, is_wide in zip(row, wide, strict=True):
        if not is_wide:
            cells.append(cell)
        elif isinstance(cell, Mapping):
            cells += [cell["value"], cell["low"], cell["high"]]
        else:
            cells += [cell, None, None]
    return cells
