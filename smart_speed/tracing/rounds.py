"""The rounds that a policy would have played, and what of them costs time."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
from jaxtyping import Int64


class ReplayedRound(NamedTuple):
    """What ``RoundRecord`` counts; the seconds are a cost model's to say."""

    context_len: int
    """Tokens before the round, prompt included."""
    num_passes: int
    """Drafter passes, that included whose token was not proposed."""
    draft_len: int
    accepted_len: int
    emitted_len: int
    stop_reason: str
    arm: int | None = None
    """Who was chosen among several drafters; ``None`` for nobody, and where there was no choice."""
    backlog: int = 0
    """Tokens that a drafter read which it had missed while others drafted."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoundCounts:
    """What costs time in the rounds of one or many policies; counts of several texts add up."""

    num_tokens: Int64[np.ndarray, " policies"]
    """Emitted."""
    num_passes: Int64[np.ndarray, " policies"]
    """Of the drafter."""
    num_drafting: Int64[np.ndarray, " policies"]
    """Rounds with at least one drafter pass."""
    by_draft_len: Int64[np.ndarray, "policies lens"]
    """Rounds that proposed 0, 1, 2 … tokens."""
    context_sum: Int64[np.ndarray, "policies lens"]
    """Tokens before each of those, added up."""
    pass_context_sum: Int64[np.ndarray, " policies"]
    """Tokens before the round of each drafter pass, added up."""

    @property
    def num_rounds(self) -> Int64[np.ndarray, " policies"]:
        """Rounds, each of which takes one pass of the verifier."""
        total: np.ndarray = self.by_draft_len.sum(axis=-1)
        return total

    @classmethod
    def of(cls, rounds: Iterable[ReplayedRound]) -> "RoundCounts":
        """Count the rounds of one policy."""
        columns = np.array([turn[:5] for turn in rounds], dtype=np.int64).reshape(-1, 5)
        context_len, num_passes, draft_len, _, emitted_len = columns.T
        by_draft_len = np.bincount(draft_len, minlength=1).astype(np.int64)
        context_sum = np.zeros_like(by_draft_len)
        np.add.at(context_sum, draft_len, context_len)
        return cls(
            num_tokens=emitted_len.sum(keepdims=True),
            num_passes=num_passes.sum(keepdims=True),
            num_drafting=(num_passes > 0).sum(keepdims=True, dtype=np.int64),
            by_draft_len=by_draft_len[None],
            context_sum=context_sum[None],
            pass_context_sum=(context_len * num_passes).sum(keepdims=True),
        )

    def __add__(self, other: "RoundCounts") -> "RoundCounts":
        width = max(self.by_draft_len.shape[1], other.by_draft_len.shape[1])
        return RoundCounts(
            num_tokens=self.num_tokens + other.num_tokens,
            num_passes=self.num_passes + other.num_passes,
            num_drafting=self.num_drafting + other.num_drafting,
            by_draft_len=_widened(self.by_draft_len, width) + _widened(other.by_draft_len, width),
            context_sum=_widened(self.context_sum, width) + _widened(other.context_sum, width),
            pass_context_sum=self.pass_context_sum + other.pass_context_sum,
        )


def _widened(table: Int64[np.ndarray, "policies lens"], width: int) -> np.ndarray:
    return np.pad(table, ((0, 0), (0, width - table.shape[1])))
