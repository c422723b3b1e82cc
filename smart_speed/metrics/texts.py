"""Figures of the texts themselves: where two part, and how much of one was there before."""

from collections.abc import Sequence
from typing import NamedTuple

from smart_speed.metrics.rates import ratio

_NGRAM_LEN = 4


class Repeats(NamedTuple):
    """How much of a text, or of several, has been there before."""

    num_4grams: int
    num_repeated: int

    @property
    def share(self) -> float:
        """Repeated 4-grams as a share of all; NaN if no text is long enough to hold any."""
        return ratio(self.num_repeated, self.num_4grams)


def count_repeats(tokens: Sequence[int]) -> Repeats:
    """Count a text's runs of four tokens, and those that occurred in it before."""
    starts = range(len(tokens) - _NGRAM_LEN + 1)
    found = [tuple(tokens[start : start + _NGRAM_LEN]) for start in starts]
    return Repeats(len(found), len(found) - len(set(found)))


def count_all_repeats(texts: Sequence[Sequence[int]]) -> Repeats:
    """Add up what several texts repeat, each of itself."""
    counts = [count_repeats(tokens) for tokens in texts]
    return Repeats(sum(each.num_4grams for each in counts), sum(each[1] for each in counts))


def first_difference(tokens: Sequence[int], others: Sequence[int]) -> int | None:
    """Return the first position at which two texts differ, ``None`` if they are the same.

    Where one is the beginning of the other, that is the length of the shorter.
    """
    pairs = enumerate(zip(tokens, others, strict=False))
    inside = next((at for at, (one, other) in pairs if one != other), None)
    ends = None if len(tokens) == len(others) else min(len(tokens), len(others))
    return ends if inside is None else inside
