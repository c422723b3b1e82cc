"""Toy pairs to trace, and live rounds to hold replays against."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from smart_speed.config import EntropyConfig
from smart_speed.drafters.base import Drafter
from smart_speed.drafters.model import ModelDrafter
from smart_speed.drafters.ngram import NgramDrafter
from smart_speed.engines.base import LoadedModel
from smart_speed.engines.toy import LetterTokenizer, TableModel
from smart_speed.records import RoundRecord, SequenceRecord
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.record import TraceRecorder
from smart_speed.tracing.traces import Trace

END = 11
"""The token that ends a text."""
LONGEST = 8
"""Tokens of a continuation."""
NEW_TOKENS = 24
PROMPTS = ((2,), (0, 1, 2, 3, 4, 3), (0, 1, END, 0, 1))
DRAFTERS = ("model", "ngram", "trimmed", "short")
ENDING = {0: -9.0, 1: 0.5, 2: -1.0, 3: 1.5}
"""What is added to the logit of the end, by the seed of a pair: some texts are long."""


def verifier_of(seed: int) -> LoadedModel:
    """A random model of order 2, over eleven letters and the end."""
    return LoadedModel(
        model=TableModel(_table(seed)),
        tokenizer=LetterTokenizer("abcdefghijk"),
        engine="toy",
        path="test",
        description="made for a test",
    )


def drafter_of(kind: str, seed: int) -> Drafter:
    """A drafter that is often right, if it is a model."""
    if kind == "ngram":
        return NgramDrafter(max_order=3)
    noise = np.random.default_rng(seed + 100).normal(size=(END + 1,) * 3)
    rows, context_len, ids = _table(seed) + 0.8 * noise, 4096, None
    if kind == "short":
        context_len = 20
    if kind == "trimmed":
        # All but two tokens, in a table with one more that stands for them.
        ids = np.array([0, 1, 2, 3, 4, 5, 6, 8, 9, END])
        own = np.array([*ids.tolist(), 7])
        rows = rows[np.ix_(own, own, own)]
    return ModelDrafter(TableModel(rows, context_len=context_len), vocab_size=END + 1, ids=ids)


def _table(seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    table = 2 * np.random.default_rng(seed).normal(size=(END + 1,) * 3)
    table[..., END] += ENDING[seed]
    return table


@cache
def trace_of(
    kind: str,
    seed: int,
    prompt: Sequence[int],
    *,
    max_new_tokens: int = NEW_TOKENS,
    sampling: Sampling | None = None,
    longest: int = LONGEST,
) -> Trace:
    """Record one trace."""
    recorder = TraceRecorder(
        verifier_of(seed), {kind: drafter_of(kind, seed)}, max_draft_len=longest, sampling=sampling
    )
    (trace,) = recorder.record(
        list(prompt), prompt_id=f"{seed}/{prompt}", task="toy", max_new_tokens=max_new_tokens
    )
    return trace


def live_record(
    config: EntropyConfig,
    kind: str,
    seed: int,
    prompt: Sequence[int],
    *,
    max_new_tokens: int = NEW_TOKENS,
    sampling: Sampling | None = None,
) -> SequenceRecord:
    """Decode."""
    decoder = EntropyBasedSpeculativeDecoder(verifier_of(seed), drafter_of(kind, seed), config)
    return decoder.generate(list(prompt), max_new_tokens=max_new_tokens, sampling=sampling).record


def counted(turn: RoundRecord) -> tuple[object, ...]:
    """All that a round records but for its seconds."""
    return (
        turn.context_len, turn.entropies_nats, turn.draft_len, turn.accepted_len,
        turn.emitted_len, turn.stop_reason,
    )  # fmt: skip


def costs_of(step_s: float = 0.2, *, widest: int = 20, slope_s: float = 0.05) -> CostModel:
    """Costs that grow evenly with the width of a pass, whose first token takes a second."""
    return CostModel(
        drafter_step_s=step_s,
        verifier_pass_s={1: 1.0, widest: 1.0 + slope_s * (widest - 1)},
        first_step_extra_s=0.03,
        round_overhead_s=0.01,
        token_overhead_s=0.002,
        strategy_step_s=0.001,
    )
