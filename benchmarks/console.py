"""What benchmarks show to people, and how they write documents."""

import contextlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from smart_speed.cli import gauge
from smart_speed.cli.console import console as console
from smart_speed.cli.figures import number
from smart_speed.errors import SmartSpeedError
from smart_speed.evaluation import Interval
from smart_speed.files import whole


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a document whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        part.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", "utf-8")


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """End the program with status 2 and one sentence where something is refused."""
    try:
        yield
    except SmartSpeedError as error:
        console.print(str(error), markup=False, soft_wrap=True)
        raise SystemExit(2) from error


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar that says what is left; give it what is done, and all there is."""
    with gauge.progress_bar() as bar, gauge.Gauge(bar, label) as shown_work:
        yield shown_work.show


def shown(figure: Interval, form: str) -> str:
    """Return a figure and its interval, if there is one, for people."""
    if math.isnan(figure.low):
        return f"{figure.value:{form}}"
    return f"{figure.value:{form}} ({figure.low:{form}}–{figure.high:{form}})"


def with_interval(document: Mapping[str, float | None], form: str) -> str:
    """Return a figure that was kept as JSON and its interval, a dash where there is none."""
    value, low, high = (document[key] for key in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return number(value, form)
    return shown(Interval(value, low, high), form)


def show_table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table, the first column on the left and numbers on the right."""
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)
    for at, heading in enumerate(headings):
        table.add_column(heading, justify="right" if at else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)
