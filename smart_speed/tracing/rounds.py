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

    @property
    def num_rounds(self) -> Int64[np.ndarray, " policies"]:
        """Rounds, each of which takes one pass of the verifier."""
        total: np.ndarray = self.by_draft_len.sum(axis=-1)
        return total

    @classmethod
    def of(cls, rounds: Iterable[ReplayedRound]) -> "RoundCounts":
        """Count the rounds of one policy."""
        columns = np.array([turn[1:5] for turn in rounds], dtype=np.int64).reshape(-1, 4)
        return cls(
            num_tokens=columns[:, 3].sum(keepdims=True),
            num_passes=columns[:, 0].sum(keepdims=True),
            num_drafting=(columns[:, :1] > 0).sum(axis=0, dtype=np.int64),
            by_draft_len=np.bincount(columns[:, 1], minlength=1).astype(np.int64)[None],
        )

    def __add__(self, other: "RoundCounts") -> "RoundCounts":
        width = max(self.by_draft_len.shape[1], other.by_draft_len.shape[1])
        return RoundCounts(
            num_tokens=self.num_tokens + other.num_tokens,
            num_passes=self.num_passes + other.num_passes,
            num_drafting=self.num_drafting + other.num_drafting,
            by_draft_len=_widened(self.by_draft_len, width) + _widened(other.by_draft_len, width),
        )


def _widened(table: Int64[np.ndarray, "policies lens"], width: int) -> np.ndarray:
    return np.pad(table, ((0, 0), (0, width - table.shape[1])))
