"""How far long work is: a bar for people who watch, a line a minute for a log file."""

import time
from types import TracebackType
from typing import final

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from smart_speed.cli.console import console, say
from smart_speed.running.progress import in_words

_LINE_EVERY_S = 60.0
_ESTIMATE_S = 600.0
"""What is left is told from the speed of so long; answers differ too much for less."""


def progress_bar() -> Bar:
    """Return a display for any number of gauges."""
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
        speed_estimate_period=_ESTIMATE_S,
    )


@final
class Gauge:
    """One piece of work on a display, gone when it is done."""

    def __init__(self, bar: Bar, name: str) -> None:
        """Put it on the display.

        Args:
            bar: The display.
            name: Of what is counted, in the plural.
        """
        self._bar = bar
        self._name = name
        self._task = bar.add_task(name, total=None, note="")
        self._last_line_s = time.monotonic()

    def show(self, done: int, total: int, note: str = "") -> None:
        """Say how far the work is.

        Args:
            done: How many are done, those of earlier runs too.
            total: Of how many.
            note: Whatever else is worth a look.
        """
        self._bar.update(self._task, completed=done, total=total, note=note)
        if console.is_terminal or time.monotonic() - self._last_line_s < _LINE_EVERY_S:
            return
        self._last_line_s = time.monotonic()
        said = f"{done} of {total} {self._name}"
        left_s = self._bar.tasks[self._bar.task_ids.index(self._task)].time_remaining
        left = "" if left_s is None else f"{in_words(left_s)} left"
        say(f"{', '.join(part for part in (said, note, left) if part)}.")

    def __enter__(self) -> "Gauge":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.remove_task(self._task)


@final
class Gauges:
    """Pieces of work that follow one another on a display, told apart by what is counted."""

    def __init__(self, bar: Bar) -> None:
        """Begin with none.

        Args:
            bar: The display.
        """
        self._bar = bar
        self._name = ""
        self._gauge: Gauge | None = None

    def show(self, name: str, done: int, total: int, note: str = "") -> None:
        """Say how far the work is; another name takes the place of the one before.

        Args:
            name: Of what is counted, in the plural.
            done: As for ``Gauge.show``, as are the rest.
            total: Of how many.
            note: Whatever else is worth a look.
        """
        if self._gauge is None or name != self._name:
            self._close()
            self._name, self._gauge = name, Gauge(self._bar, name)
        self._gauge.show(done, total, note)

    def _close(self) -> None:
        if self._gauge is not None:
            self._gauge.__exit__(None, None, None)
            self._gauge = None

    def __enter__(self) -> "Gauges":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()
