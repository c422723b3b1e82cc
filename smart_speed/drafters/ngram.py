"""A drafter without a model: the text's own n-grams.

It proposes from a *law*, counts of every order blended, not from a single lookup. So it has an
entropy like any other drafter, low inside a passage that the text repeats and high elsewhere,
and verifies losslessly under sampling.
"""

from collections.abc import Sequence
from typing import final

import numpy as np

from smart_speed.drafters.ngram_counts import NgramCounts
from smart_speed.laws import Scores


@final
class NgramDrafter:
    """Counts of the text, prompt and draft included, interpolated from the longest context down.

    Without context, tokens have their share of the text; the rest is as ``NgramCounts`` says.
    """

    name = "ngram"
    context_len = None

    def __init__(self, max_order: int = 5) -> None:
        """Start with no text.

        Args:
            max_order: Longest context, in tokens; at least 1.
        """
        self._counts = NgramCounts(max_order)

    def prefill(self, text: Sequence[int]) -> None:
        self._counts.read_text(text)

    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        self._counts.read(text, proposal)
        likely, left, _ = self._counts.followers()
        ids, share = self._counts.shares()
        probs = left * share
        tokens = np.array(list(likely), dtype=np.int64)
        probs[np.searchsorted(ids, tokens)] += np.array(list(likely.values()), dtype=np.float64)
        return Scores(np.log(probs), ids)

    def rollback(self, to_len: int) -> None:
        self._counts.rollback(to_len)
