"""What followed these tokens the last times they stood in the text? Counts, kept up to date.

The counts are those of one sequence of tokens, the verified text and the draft so far. So what is
read off them depends on nothing but the tokens before, not on where the verified ones end.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, final

import numpy as np
from jaxtyping import Float64, Int64

from smart_speed.errors import check_that

MATCH_ORDER = 6
"""Longest context that a router looks for."""

_Counts = dict[int, int]


class Followers(NamedTuple):
    """What the contexts of at least one token, interpolated, say of the next token."""

    probs: dict[int, float]
    """By token; they sum to 1 - ``left``. Empty where no context was seen before."""
    left: float
    """What is left to the law without context."""
    order: int
    """Length of the longest context that was seen before; 0 if there is none."""


class Match(NamedTuple):
    """What the text's longest context that was seen before promises."""

    length: int
    """Tokens of that context; 0 if there is none."""
    prob: float
    """Of its likeliest next token."""


@final
class NgramCounts:
    """Counts of every context up to a longest one.

    With C occurrences of a context and e different tokens seen after it, a token seen c times
    there gets c / (C + e), and e / (C + e) is left to the context shorter by one token.

    Source: method C of Moffat 1990, "Implementing the PPM data compression scheme", interpolated
    as by Witten and Bell 1991.
    """

    def __init__(self, max_order: int) -> None:
        """Start with no text.

        Args:
            max_order: Longest context, in tokens; at least 1.
        """
        check_that(max_order >= 1, "max_order", "at least 1", max_order)
        self._max_order = max_order
        self._tokens: list[int] = []
        self._after: dict[tuple[int, ...], _Counts] = defaultdict(dict)
        self._ids: Int64[np.ndarray, " seen"] | None = None

    def read_text(self, text: Sequence[int]) -> None:
        """Count a text, keeping what was counted as far as the two begin alike."""
        self._keep(_common_len(self._tokens, text))
        self._add(text[len(self._tokens) :])

    def read(self, text: Sequence[int], proposal: Sequence[int]) -> None:
        """Count a text and its draft.

        Args:
            text: What was counted of it before is taken to be still so.
            proposal: Any draft; what is left of another one is forgotten.
        """
        drafted = self._tokens[len(text) :]
        if drafted:
            self._keep(len(text) + _common_len(drafted, proposal))
        if len(self._tokens) < len(text):
            self._add(text[len(self._tokens) :])
        self._add(proposal[len(self._tokens) - len(text) :])

    def rollback(self, to_len: int) -> None:
        """Forget everything past the first ``to_len`` tokens."""
        self._keep(to_len)

    def followers(self) -> Followers:
        """Return what the counted tokens say of the one after them."""
        size = len(self._tokens)
        left, longest = 1.0, 0
        probs: dict[int, float] = {}
        for order in range(min(self._max_order, size), 0, -1):
            counts = self._after.get(tuple(self._tokens[size - order :]))
            if not counts:
                continue
            longest = longest or order
            weight = left / (sum(counts.values()) + len(counts))
            for token, count in counts.items():
                probs[token] = probs.get(token, 0.0) + weight * count
            left = weight * len(counts)
        return Followers(probs, left, longest)

    def match(self) -> Match:
        """Return what the longest context seen before promises, for far less than all do."""
        size = len(self._tokens)
        for order in range(min(self._max_order, size), 0, -1):
            if counts := self._after.get(tuple(self._tokens[size - order :])):
                return Match(order, max(counts.values()) / (sum(counts.values()) + len(counts)))
        return Match(0, 0.0)

    def shares(self) -> tuple[Int64[np.ndarray, " seen"], Float64[np.ndarray, " seen"]]:
        """Return the tokens seen so far, ascending, and the share of the text that each has."""
        seen = self._after[()]
        if self._ids is None:
            self._ids = np.array(sorted(seen), dtype=np.int64)
        counts = np.array([seen[token] for token in self._ids.tolist()], dtype=np.float64)
        return self._ids, counts / max(len(self._tokens), 1)

    def _add(self, tokens: Sequence[int]) -> None:
        for token in tokens:
            end = len(self._tokens)
            if token not in self._after[()]:
                self._ids = None
            for order in range(min(self._max_order, end) + 1):
                counts = self._after[tuple(self._tokens[end - order :])]
                counts[token] = counts.get(token, 0) + 1
            self._tokens.append(token)

    def _keep(self, length: int) -> None:
        while len(self._tokens) > length:
            token = self._tokens.pop()
            end = len(self._tokens)
            for order in range(min(self._max_order, end) + 1):
                context = tuple(self._tokens[end - order :])
                counts = self._after[context]
                counts[token] -= 1
                if not counts[token]:
                    del counts[token]
                    if not counts:
                        del self._after[context]
            if token not in self._after[()]:
                self._ids = None


def matches_along(prompt: Sequence[int], tokens: Sequence[int]) -> list[Match]:
    """Return what was promised before each token of an output."""
    counts, text, found = NgramCounts(MATCH_ORDER), list(prompt), []
    for token in tokens:
        counts.read(text, ())
        found.append(counts.match())
        text.append(token)
    return found


def _common_len(first: Sequence[int], second: Sequence[int]) -> int:
    pairs = zip(first, second, strict=False)
    shorter = min(len(first), len(second))
    return next((at for at, (one, other) in enumerate(pairs) if one != other), shorter)
