"""Figures as people read them."""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table


def number(value: float | None, form: str) -> str:
    """Return a figure, or a dash where there is none."""
    return "–" if value is None else format(value, form)


def interval(figure: Mapping[str, float | None], form: str) -> str:
    """Return the ends of an interval, or a dash where they are not known."""
    low, high = figure["low"], figure["high"]
    return "–" if low is None or high is None else f"{low:{form}}–{high:{form}}"


def plain_table(title: str, headings: Sequence[str]) -> Table:
    """Return an empty table; columns of names are on the left, those of figures on the right."""
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        left = heading in ("condition", "task", "policy", "lossy setting")
        table.add_column(escape(heading), justify="left" if left else "right", no_wrap=True)
    return table
