"""What does a drafter that sat rounds out take to read what it missed?"""

from collections.abc import Callable, Sequence
from statistics import median

from smart_speed.drafters.base import Drafter

MISSED = 12
"""Tokens that are missed in the measurement."""
_USUAL = 2
_REPEATS = 15


def measure_catch_up(drafter: Drafter, text: Sequence[int], clock: Callable[[], float]) -> float:
    """Return the seconds that a drafter's first pass takes more for each token that it missed.

    Passes with and without missed tokens take turns; medians are compared. Nothing else runs
    between them, so a drafter whose weights the verifier drives out of the processor's caches is a
    little slower in decoding, with and without missed tokens.

    Args:
        drafter: Its cache is changed.
        text: Of more tokens than can be missed; of one that has fewer, 0 is returned.
        clock: Returns seconds.
    """
    if len(text) <= MISSED + _USUAL:
        return 0.0
    seconds: dict[int, list[float]] = {_USUAL: [], _USUAL + MISSED: []}
    drafter.prefill(text)
    for _ in range(_REPEATS):
        for unread, found in seconds.items():
            drafter.rollback(len(text) - unread)
            start = clock()
            scores = drafter.scores_after(text, [])
            float(scores.logits[0])  # where passes are asynchronous, wait for this one
            found.append(clock() - start)
    usual, more = (median(each) for each in seconds.values())
    return max((more - usual) / MISSED, 0.0)
