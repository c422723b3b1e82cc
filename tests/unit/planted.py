"""Traces written by hand, whose rounds can be counted on paper, and toy texts to learn on."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, cast

import numpy as np

from smart_speed.calibration.search import GRIDS
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.traces import PassTable, Trace
from tests.unit.traced import END, ENDING, PROMPTS, trace_of

RIGHT, WRONG = 1, 2
"""The verifier's token at every position, and what a drafter writes that disagrees."""
COSTS = CostModel(drafter_step_s=0.25, verifier_pass_s={1: 1.0, 2: 1.1, 3: 1.2})
"""A round that drafts and proposes 0, 1, 2 tokens takes 1, 1.35 and 1.7 seconds."""


def planted_trace(
    agrees: Sequence[bool],
    *,
    task: str = "",
    prompt_id: str = "",
    max_draft_len: int = 2,
    entropies_nats: Sequence[float] | None = None,
    top_probs: Sequence[float] | None = None,
) -> Trace:
    """Return a trace whose drafter is right where it is said to be.

    Facts are those of each position's first pass; the passes after a mismatch have the same.
    """
    count = len(agrees)
    entropies = list(entropies_nats) if entropies_nats is not None else [0.5] * count
    probs = list(top_probs) if top_probs is not None else [0.5] * count
    own_lens = [
        1 if right else min(max_draft_len, max(count - at - 1, 1))
        for at, right in enumerate(agrees)
    ]
    nats = np.repeat(np.array(entropies, dtype=np.float64), own_lens)
    tokens = np.repeat(np.where(agrees, RIGHT, WRONG), own_lens).astype(np.uint32)
    return Trace(
        prompt_id=prompt_id,
        task=task,
        drafter="planted",
        prompt_len=3,
        max_new_len=count,
        finish_reason="length",
        ending_tokens=(END,),
        max_draft_len=max_draft_len,
        drafter_context_len=None,
        tokens=np.full(count, RIGHT, dtype=np.uint32),
        verifier_entropy_nats=np.full(count, 0.7),
        verifier_top_prob=np.full(count, 0.6),
        verifier_agrees=np.full(count, fill_value=True),
        own_lens=np.array(own_lens, dtype=np.uint16),
        passes=PassTable(
            tokens=tokens,
            shannon_nats=nats,
            renyi_nats=nats / 2,
            topk_nats=nats / 3,
            top_prob=np.repeat(np.array(probs, dtype=np.float64), own_lens),
            margin_nats=np.ones(len(tokens), dtype=np.float32),
        ),
    )


@cache
def toy_texts() -> tuple[PreparedTrace, ...]:
    """Return texts of toy models, two tasks, some four hundred positions."""
    traces = [
        trace_of("model", seed, prompt, max_new_tokens=48) for seed in ENDING for prompt in PROMPTS
    ]
    return tuple(map(PreparedTrace, traces))


@contextlib.contextmanager
def few_settings(*strategies: str) -> Iterator[None]:
    """Search three values of each setting at most, of all strategies or of some.

    The checks of types take fifteen times as long as the replays that they check.
    """
    whole = dict(GRIDS)
    few = {
        strategy: {name: values[:3] for name, values in grid.items()}
        for strategy, grid in whole.items()
        if not strategies or strategy in strategies
    }
    # Changed where it is: a module that is first imported meanwhile would keep another table.
    table = cast("dict[str, Any]", GRIDS)
    try:
        _fill(table, few)
        yield
    finally:
        _fill(table, whole)


def _fill(table: dict[str, Any], values: Mapping[str, Any]) -> None:
    table.clear()
    table.update(values)
