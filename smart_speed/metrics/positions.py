"""Which draft positions the verifier judged, and what became of them.

Positions behind the first rejection were never tested: they are missing, not rejected.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
from jaxtyping import Bool, Float64, Int64

from smart_speed.metrics.intervals import known
from smart_speed.metrics.rates import Records, ratio, rounds_of
from smart_speed.records import RoundRecord

ENTROPY_EDGES_NATS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, float("inf"))
"""Of the bins in which the share of accepted tokens is shown."""
PROB_EDGES = tuple(step / 10 for step in range(11))
"""Likewise, for the probability of the drafter's likeliest token."""


def judged_len(turn: RoundRecord) -> int:
    """Return how many proposed tokens of a round the verifier judged.

    The accepted ones and the first that was not. Where the output ended inside the draft, no token
    was rejected: the one behind the end was not needed.
    """
    rejected = turn.accepted_len < min(turn.draft_len, turn.emitted_len)
    return turn.accepted_len + rejected


class PositionShare(NamedTuple):
    """What became of all tokens at one position of a draft."""

    position: int
    """From 0."""
    num_tested: int
    num_accepted: int

    @property
    def share(self) -> float:
        """Accepted tokens as a share of tested ones."""
        return ratio(self.num_accepted, self.num_tested)

    def to_json(self) -> dict[str, Any]:
        """Return counts and share as JSON values."""
        return {**self._asdict(), "share": known(self.share)}


def acceptance_by_position(records: Records) -> list[PositionShare]:
    """Return the share of accepted tokens among those tested at each position, from 0.

    Position i is tested where tokens were accepted at all earlier ones and one was proposed at i.
    """
    rounds = rounds_of(records)
    tested = [judged_len(turn) for turn in rounds]
    return [
        PositionShare(
            position,
            num_tested=sum(length > position for length in tested),
            num_accepted=sum(turn.accepted_len > position for turn in rounds),
        )
        for position in range(max(tested, default=0))
    ]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedTokens:
    """All tested tokens of several prompts."""

    num_prompts: int
    prompt_index: Int64[np.ndarray, " tokens"]
    entropy_nats: Float64[np.ndarray, " tokens"]
    top_prob: Float64[np.ndarray, " tokens"]
    accepted: Bool[np.ndarray, " tokens"]


def judged_tokens(prompts: Sequence[Records]) -> JudgedTokens:
    """Return the tested tokens of several prompts.

    Args:
        prompts: The records of each, one for each turn of a chat.
    """
    rows = [
        (index, turn.entropies_nats[at], turn.top_probs[at], at < turn.accepted_len)
        for index, records in enumerate(prompts)
        for turn in rounds_of(records)
        for at in range(judged_len(turn))
    ]
    index, entropies, probs, accepted = zip(*rows, strict=True) if rows else ((),) * 4
    return JudgedTokens(
        num_prompts=len(prompts),
        prompt_index=np.array(index, dtype=np.int64),
        entropy_nats=np.array(entropies, dtype=np.float64),
        top_prob=np.array(probs, dtype=np.float64),
        accepted=np.array(accepted, dtype=np.bool_),
    )


class Bin(NamedTuple):
    """Tested tokens whose value lies between two edges, the lower one included."""

    low: float
    high: float
    num_tested: int
    num_accepted: int
    mean_value: float

    @property
    def share(self) -> float:
        """Accepted tokens as a share of tested ones; NaN for an empty bin."""
        return ratio(self.num_accepted, self.num_tested)

    def to_json(self) -> dict[str, Any]:
        """Return the fields and the share as JSON values; an edge without end is null."""
        return {
            **self._asdict(),
            "high": known(self.high),
            "mean_value": known(self.mean_value),
            "share": known(self.share),
        }


def share_by_bin(
    values: Float64[np.ndarray, " tokens"],
    accepted: Bool[np.ndarray, " tokens"],
    edges: Sequence[float],
) -> list[Bin]:
    """Return the share of accepted tokens in each bin of a value; the last edge is inside."""
    places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    bins = []
    for place in range(len(edges) - 1):
        inside = places == place
        count = int(inside.sum())
        mean = float(values[inside].mean()) if count else float("nan")
        found = int(accepted[inside].sum())
        bins.append(Bin(float(edges[place]), float(edges[place + 1]), count, found, mean))
    return bins


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the mean distance of predicted probability and accepted share, over tokens."""
    distances = [abs(each.mean_value - each.share) * each.num_tested for each in bins if each[2]]
    return ratio(sum(distances), sum(each.num_tested for each in bins))
