"""How far long work is, for those who call it from Python and say nothing else."""

import sys
import time
from collections.abc import Callable
from typing import final

_EVERY_S = 30.0


def in_words(seconds: float) -> str:
    """Return about how long something takes, in minutes or in whatever is fit for it."""
    for unit, length_s in (("days", 86400), ("hours", 3600)):
        if seconds >= 2 * length_s:
            return f"about {seconds / length_s:.0f} {unit}"
    minutes = max(round(seconds / 60), 1)
    return "about a minute" if minutes == 1 else f"about {minutes} minutes"


def say_on_stderr(sentence: str) -> None:
    """Write a line for people."""
    sys.stderr.write(f"{sentence}\n")


@final
class LineProgress:
    """A line now and then: what is counted, how far it is, and how long it will take."""

    def __init__(
        self,
        *,
        every_s: float = _EVERY_S,
        clock: Callable[[], float] = time.monotonic,
        say: Callable[[str], None] = say_on_stderr,
    ) -> None:
        """Begin with nothing to say.

        Args:
            every_s: Seconds between two lines.
            clock: Returns seconds.
            say: Given each line.
        """
        self._every_s = every_s
        self._clock = clock
        self._say = say
        self._what = ""
        self._start = (0.0, 0)
        self._last_s = 0.0

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None:
        """Take note of how far the work is, and say so if it is time.

        Args:
            what: Is counted, in the plural; another one begins anew.
            done: How many are done, those of earlier runs too.
            total: Of how many.
            note: Whatever else is worth a look.
        """
        now = self._clock()
        if what != self._what:
            self._what, self._start, self._last_s = what, (now, done), now
            return
        if now - self._last_s < self._every_s:
            return
        self._last_s = now
        parts = [f"{done} of {total} {what}", note]
        since_s, before = self._start
        if done > before:
            left_s = (now - since_s) / (done - before) * (total - done)
            parts.append(f"{in_words(left_s)} left")
        self._say(f"{', '.join(part for part in parts if part)}.")
