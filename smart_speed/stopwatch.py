"""Seconds by phase, from one clock."""

from collections.abc import Callable
from typing import final

PHASES = ("drafter_s", "entropy_s", "strategy_s", "verifier_s")
"""What a round's time is booked to; the rest of it is verification and bookkeeping."""


@final
class Stopwatch:
    """Books the time since the last lap to a named phase; the phases add up to the whole."""

    __slots__ = ("_clock", "_last", "_seconds", "_start")

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start at once."""
        self._clock = clock
        self._seconds: dict[str, float] = {}
        self._start = self._last = clock()

    def lap(self, phase: str) -> None:
        """Book what has passed since the last lap."""
        now = self._clock()
        self._seconds[phase] = self._seconds.get(phase, 0.0) + now - self._last
        self._last = now

    def skip(self) -> None:
        """Book what has passed since the last lap to no phase; it stays in the total."""
        self._last = self._clock()

    def by_phase(self) -> dict[str, float]:
        """Return the seconds booked to each phase."""
        return dict.fromkeys(PHASES, 0.0) | self._seconds

    def total(self) -> float:
        """Return what has passed since the start."""
        return self._clock() - self._start
