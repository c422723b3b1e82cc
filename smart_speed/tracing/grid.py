"""Thousands of settings at once, where a strategy has no memory and its rule is one comparison.

``replay`` plays a setting round by round. Here every position's draft is worked out for all
settings together, then all of them walk through the text side by side. The counts are the same.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64, Int32

from smart_speed.entropy import EntropyType
from smart_speed.errors import check_that
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.rounds import RoundCounts


class _Drafts(NamedTuple):
    """What each setting would draft at each position."""

    passes: Int32[np.ndarray, "positions policies"]
    lens: Int32[np.ndarray, "positions policies"]


def count_fixed(prepared: PreparedTrace, draft_lens: Sequence[int]) -> RoundCounts:
    """Count the rounds of ``fixed`` with each of some draft lengths.

    Args:
        prepared: The text, and what the drafter would have written.
        draft_lens: Values of ``max_draft_len``; 0 is plain decoding.

    Raises:
        ConfigError: If a length is negative, or the trace does not hold drafts that long.
    """
    caps = list(draft_lens)
    check_that(all(cap >= 0 for cap in caps), "draft_lens", "at least 0", caps)
    positions = range(prepared.output_len)
    lens = np.array(
        [[prepared.longest_draft(at, cap) for cap in caps] for at in positions], dtype=np.int32
    ).reshape(len(positions), len(caps))
    return _walk(prepared, _Drafts(lens, lens))


def count_absolute(
    prepared: PreparedTrace,
    thetas: Sequence[float],
    *,
    max_draft_len: int = 8,
    min_draft_len: int = 0,
    stop_placement: Literal["after", "before"] = "before",
    entropy_type: EntropyType = "shannon",
) -> RoundCounts:
    """Count the rounds of ``absolute`` with each of some thresholds.

    Args:
        prepared: The text, and what the drafter would have written.
        thetas: Values of ``theta_abs``, in nats.
        max_draft_len: The same for all, as is the rest; defaults are those of the strategy.
        min_draft_len: Tokens that a round drafts before the threshold counts.
        stop_placement: Whether the token whose law was uncertain is still proposed.
        entropy_type: The entropy that is held against the threshold.

    Raises:
        ConfigError: If a setting breaks a rule, or the trace does not hold drafts that long.
    """
    check_that(all(theta > 0 for theta in thetas), "thetas", "positive numbers of nats", thetas)
    inside = 0 <= min_draft_len <= max_draft_len
    check_that(inside, "min_draft_len", f"0 to max_draft_len ({max_draft_len})", min_draft_len)
    keep_last = stop_placement == "after"
    limits = np.array(
        [prepared.longest_draft(at, max_draft_len) for at in range(prepared.output_len)],
        dtype=np.int32,
    )
    highest = _highest_so_far(prepared, limits, max(min_draft_len - keep_last, 0), entropy_type)
    # Ascending in each row, so the number of entries up to a threshold is where it is exceeded.
    before = np.array(
        [np.searchsorted(row, thetas, side="right") for row in highest], dtype=np.int32
    ).reshape(prepared.output_len, len(thetas))
    before = np.minimum(before, limits[:, None])
    stops = before < limits[:, None]
    return _walk(prepared, _Drafts(before + stops, before + (stops & keep_last)))


def _highest_so_far(
    prepared: PreparedTrace,
    limits: Int32[np.ndarray, " positions"],
    first_asked: int,
    kind: EntropyType,
) -> Float64[np.ndarray, "positions lens"]:
    """Return the highest entropy up to each pass of each draft; infinite past its end."""
    length = int(limits.max(initial=0))
    indices = prepared.trace.continuations(length, prepared.seed)[: prepared.output_len]
    entropies = prepared.trace.passes.entropy_nats(kind)[indices]
    entropies[:, :first_asked] = -np.inf
    entropies[np.arange(length) >= limits[:, None]] = np.inf
    return np.maximum.accumulate(entropies, axis=1)


def _walk(prepared: PreparedTrace, drafts: _Drafts) -> RoundCounts:
    """Play every setting's rounds, all settings at once."""
    end, num_policies = prepared.output_len, drafts.lens.shape[1]
    accepted_lens = np.array(prepared.accepted_lens, dtype=np.int64)
    num_passes = np.zeros(num_policies, dtype=np.int64)
    num_drafting = np.zeros(num_policies, dtype=np.int64)
    width = int(drafts.lens.max(initial=0)) + 1
    by_draft_len = np.zeros((num_policies, width), dtype=np.int64)
    context_sum = np.zeros_like(by_draft_len)
    pass_context_sum = np.zeros(num_policies, dtype=np.int64)
    at = np.zeros(num_policies, dtype=np.int64)
    active = np.arange(num_policies)
    while len(active):
        here = at[active]
        passes, lens = drafts.passes[here, active], drafts.lens[here, active]
        num_passes[active] += passes
        num_drafting[active] += passes > 0
        by_draft_len[active, lens] += 1
        context_len = prepared.trace.prompt_len + here
        context_sum[active, lens] += context_len
        pass_context_sum[active] += passes * context_len
        at[active] = here + np.minimum(accepted_lens[here], lens) + 1
        active = active[at[active] < end]
    return RoundCounts(
        num_tokens=np.full(num_policies, end, dtype=np.int64),
        num_passes=num_passes,
        num_drafting=num_drafting,
        by_draft_len=by_draft_len,
        context_sum=context_sum,
        pass_context_sum=pass_context_sum,
    )
