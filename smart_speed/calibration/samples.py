"""Traces as samples for fitting: one for each position that a draft law was recorded for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float64

from smart_speed.entropy import EntropyType
from smart_speed.errors import check_that
from smart_speed.stopping.acceptance import log_odds
from smart_speed.tracing.prepared import PreparedTrace

LEAST_POSITIONS = 100


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextSamples:
    """The verified text of one prompt, position by position."""

    entropy_nats: Float64[np.ndarray, " positions"]
    log_odds: Float64[np.ndarray, " positions"]
    """Of the drafter's likeliest token."""
    accepted: Bool[np.ndarray, " positions"]
    """Whether the verifier keeps the drafter's token."""

    def recent(self, start: float, rate: float) -> Float64[np.ndarray, " positions"]:
        """Return the recent acceptance before each position, if all before it were tested.

        Args:
            start: At the first.
            rate: Weight of the newest.
        """
        found = np.empty(len(self.accepted))
        value = start
        for at, kept in enumerate(self.accepted.tolist()):
            found[at] = value
            value += rate * (kept - value)
        return found


def samples_of(prepared: PreparedTrace, kind: EntropyType = "shannon") -> TextSamples:
    """Return the samples of a text, up to where the drafter's context was full.

    Args:
        prepared: The text; of one that was sampled, as it was realised.
        kind: Which entropy.
    """
    roots = np.array(prepared.roots[: prepared.output_len], dtype=np.int64)
    roots = roots[roots >= 0]
    passes = prepared.trace.passes
    odds = [log_odds(prob) for prob in passes.top_prob[roots].tolist()]
    return TextSamples(
        entropy_nats=passes.entropy_nats(kind)[roots],
        log_odds=np.array(odds, dtype=np.float64),
        accepted=np.array(prepared.accepted_lens[: len(roots)]) > 0,
    )


def all_samples(texts: Sequence[PreparedTrace], kind: EntropyType = "shannon") -> list[TextSamples]:
    """Return the samples of texts, those without any left out.

    Raises:
        ConfigError: If there are too few to learn anything from.
    """
    found = [samples for each in texts if len((samples := samples_of(each, kind)).accepted)]
    total = sum(len(each.accepted) for each in found)
    check_that(total >= LEAST_POSITIONS, "traces", f"{LEAST_POSITIONS} positions or more", total)
    kept = sum(int(each.accepted.sum()) for each in found)
    rule = "of accepted and of rejected tokens, to tell them apart"
    check_that(0 < kept < total, "traces", rule, f"{kept} accepted of {total}")
    return found
