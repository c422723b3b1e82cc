"""Figures as people read them."""

from collections.abc import Mapping


def number(value: float | None, form: str) -> str:
    """Return a figure, or a dash where there is none."""
    return "–" if value is None else format(value, form)


def interval(figure: Mapping[str, float | None], form: str) -> str:
    """Return the ends of an interval, or a dash where they are not known."""
    low, high = figure["low"], figure["high"]
    return "–" if low is None or high is None else f"{low:{form}}–{high:{form}}"
