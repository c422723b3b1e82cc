"""The pieces of a report, by themselves."""

import pytest

from smart_speed.reporting.report_document import Column, Table, shown
from smart_speed.reporting.report_html import INK, inlined
from smart_speed.reporting.run_plots import pareto_front
from smart_speed.reporting.run_time_plots import time_parts


@pytest.mark.parametrize(
    ("cell", "form", "text"),
    [
        (None, ".2f", "–"),
        (1.0, ".0%", "100%"),
        (-0.0001, ".0%", "0%"),
        (0.5, "+.2f", "+0.50"),
        (0.0123, "ms", "12.3 ms"),
        (3, "d", "3"),
        ("a|b", "", "a|b"),
        (True, "", "yes"),
        ({"value": 1.234, "low": 1.1, "high": 1.3}, ".2f", "1.23 (1.10–1.30)"),
        ({"value": -0.2, "low": -0.3, "high": -0.1}, ".1f", "-0.2 (-0.3 to -0.1)"),
        ({"value": 1.2, "low": None, "high": None}, ".1f", "1.2"),
        ({"value": None, "low": None, "high": None}, ".1f", "–"),
    ],
)
def test_cells_are_shown(cell: object, form: str, text: str) -> None:
    assert shown(cell, form) == text


def test_an_interval_takes_three_columns() -> None:
    interval = {"value": 1.5, "low": 1.0, "high": 2.0}
    table = Table(
        name="t",
        caption="",
        columns=[Column("name", "name"), Column("speed", "speed")],
        rows=[["a,b", interval], ["c", None]],
    )
    assert table.to_csv() == 'name,speed,speed_low,speed_high\n"a,b",1.5,1.0,2.0\nc,,,\n'


def test_drawings_keep_their_ids_apart() -> None:
    svg = (
        '<?xml version="1.0"?><!DOCTYPE svg "x"><svg xmlns="a" xmlns:xlink="b"><metadata>\nm'
        f'</metadata><path id="p" style="fill: {INK}; clip-path: url(#p)"/>'
        '<use xlink:href="#p"/></svg>'
    )
    assert inlined("one", 'a "b"', svg) == (
        '<svg role="img" aria-label="a &quot;b&quot;"><path id="one-p" '
        'style="fill: currentColor; clip-path: url(#one-p)"/><use xlink:href="#one-p"/></svg>'
    )


def test_the_front_holds_what_nothing_beats() -> None:
    points = {"slow": (0.9, 1.0), "fast": (0.3, 1.5), "worse": (0.2, 1.2), "middle": (0.5, 1.2)}
    assert pareto_front(points) == ["fast", "middle", "slow"]


def test_parts_of_time_add_up() -> None:
    shares = {"verifier": 0.6, "drafter": 0.3, "entropy": 0.04, "strategy": 0.01, "overhead": 0.1}
    parts = time_parts(shares)
    assert parts["other"] == pytest.approx(0.05)
    assert sum(parts.values()) == pytest.approx(1)
