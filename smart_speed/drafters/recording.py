"""A drafter that remembers what it thought of each position, for whoever wants to look later."""

from collections.abc import Sequence
from typing import final

import array_api_compat
import numpy as np
from jaxtyping import Float, Int

from smart_speed.draft_passes import Candidate, DraftPass
from smart_speed.drafters.base import Drafter
from smart_speed.errors import check_that
from smart_speed.laws import Array, Scores, softmax


@final
class RecordingDrafter:
    """Another drafter, and the likeliest tokens of every pass that it makes.

    Looks at the scores at once, since the engine may overwrite them. What that takes is counted
    as the drafter's time, so no speed should be measured through this.
    """

    def __init__(self, inner: Drafter, *, top: int = 5) -> None:
        """Wrap a drafter.

        Args:
            inner: Who does the work.
            top: How many candidates to keep of each pass, at least 1.
        """
        check_that(top >= 1, "top", "at least 1", top)
        self._inner = inner
        self._top = top
        self.passes: list[DraftPass] = []
        """Those of the latest text, in the order of its rounds' ``entropies_nats``. A position
        that was drafted again after a rejection is there again."""

    @property
    def inner(self) -> Drafter:
        """Who does the work."""
        return self._inner

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def context_len(self) -> int | None:
        return self._inner.context_len

    def prefill(self, text: Sequence[int]) -> None:
        # A new list, so that whoever holds the last text's keeps it.
        self.passes = []
        self._inner.prefill(text)

    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        scores = self._inner.scores_after(text, proposal)
        self.passes.append(DraftPass(len(text) + len(proposal), candidates(scores, self._top)))
        return scores

    def rollback(self, to_len: int) -> None:
        self._inner.rollback(to_len)


def candidates(scores: Scores, count: int) -> tuple[Candidate, ...]:
    """Return the likeliest tokens of a law and their probabilities, likeliest first.

    Args:
        scores: Of any support; one narrower than ``count`` gives all it holds.
        count: How many.
    """
    probs = softmax(scores).probs
    indices = _indices_of_largest(probs, min(count, probs.shape[0]))
    found = [Candidate(scores.token_at(int(at)), float(probs[at])) for at in indices]
    return tuple(sorted(found, key=lambda each: (-each.prob, each.token)))


def _indices_of_largest(values: Float[Array, " support"], k: int) -> Int[Array, " k"]:
    """Return where the k largest values are, in no particular order."""
    if array_api_compat.is_numpy_array(values):
        return np.argpartition(values, values.shape[0] - k)[-k:]
    if array_api_compat.is_torch_array(values):
        return values.topk(k).indices
    return array_api_compat.array_namespace(values).argsort(values)[-k:]
