"""A drafter without a model: what followed these tokens the last times they stood in the text?

It proposes from a *law*, counts of every order blended, not from a single lookup. So it has an
entropy like any other drafter, low inside a passage that the text repeats and high elsewhere,
and verifies losslessly under sampling.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import final

import numpy as np

from smart_speed.errors import check_that
from smart_speed.laws import Scores

_Counts = dict[int, int]


@final
class NgramDrafter:
    """Counts of the verified text, prompt included, interpolated from the longest context down.

    With C occurrences of a context and e different tokens seen after it, a token seen c times
    there gets c / (C + e), and e / (C + e) is left to the context shorter by one token; without
    context, tokens have their share of the text.

    Source: method C of Moffat 1990, "Implementing the PPM data compression scheme", interpolated
    as by Witten and Bell 1991.
    """

    name = "ngram"
    context_len = None

    def __init__(self, max_order: int = 5) -> None:
        """Start with no text.

        Args:
            max_order: Longest context, in tokens; at least 1.
        """
        check_that(max_order >= 1, "max_order", "at least 1", max_order)
        self._max_order = max_order
        self._forget()

    def _forget(self) -> None:
        self._counted: list[int] = []
        self._after: dict[tuple[int, ...], _Counts] = defaultdict(dict)
        self._share = np.zeros(0)
        self._ids = np.zeros(0, dtype=np.int64)
        self._index: dict[int, int] = {}

    def prefill(self, text: Sequence[int]) -> None:
        if self._counted != list(text[: len(self._counted)]):
            self._forget()
        self._count(text)

    def _count(self, text: Sequence[int]) -> None:
        """Count what the text holds beyond what was counted; verified text never changes."""
        if len(self._counted) == len(text):
            return
        for end in range(len(self._counted), len(text)):
            token = text[end]
            for order in range(min(self._max_order, end) + 1):
                counts = self._after[tuple(text[end - order : end])]
                counts[token] = counts.get(token, 0) + 1
        self._counted += text[len(self._counted) :]
        unigrams = self._after[()]
        if len(unigrams) != len(self._ids):
            self._ids = np.array(sorted(unigrams), dtype=np.int64)
            self._index = {token: index for index, token in enumerate(self._ids.tolist())}
        self._share = np.array([unigrams[token] for token in self._index]) / len(text)

    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        self._count(text)
        recent = (*text[-self._max_order :], *proposal)[-self._max_order :]
        left = 1.0
        likely: dict[int, float] = {}
        for start in range(len(recent)):
            if (counts := self._after.get(recent[start:])) is None:
                continue
            weight = left / (sum(counts.values()) + len(counts))
            for token, count in counts.items():
                likely[token] = likely.get(token, 0.0) + weight * count
            left = weight * len(counts)
        probs = left * self._share
        for token, prob in likely.items():
            probs[self._index[token]] += prob
        return Scores(np.log(probs), self._ids)

    def rollback(self, to_len: int) -> None:
        """Start again if counted text was cut, which never happens while it is being written."""
        if to_len < len(self._counted):
            self._forget()
