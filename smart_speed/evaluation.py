"""From records to figures: each formula once.

Sums over sums, never means of rates: a rate of many sequences is what one long sequence made of
them would show. Records with status "error" carry no numbers and are left out.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from smart_speed.records import RoundRecord, SequenceRecord

Records = Sequence[SequenceRecord]


class Interval(NamedTuple):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def _rounds(records: Records) -> list[RoundRecord]:
    return [turn for record in records if record.status == "ok" for turn in record.rounds]


def _ratio(above: int | float, below: int | float) -> float:
    """Return the ratio, NaN where there was nothing to divide by."""
    return above / below if below else float("nan")


def tokens_per_decode_s(records: Records) -> float:
    """Output tokens per second of decoding; prefill is not in it."""
    done = [record for record in records if record.status == "ok"]
    return _ratio(sum(r.output_len for r in done), sum(r.decode_s for r in done))


def acceptance_rate(records: Records) -> float:
    """Accepted tokens as a share of drafted ones."""
    rounds = _rounds(records)
    return _ratio(sum(r.accepted_len for r in rounds), sum(r.draft_len for r in rounds))


def mean_emitted_len(records: Records) -> float:
    """Output tokens per round, the verifier's own token included ("MAT")."""
    rounds = _rounds(records)
    return _ratio(sum(r.emitted_len for r in rounds), len(rounds))


def mean_draft_len(records: Records) -> float:
    """Proposed tokens per round."""
    rounds = _rounds(records)
    return _ratio(sum(r.draft_len for r in rounds), len(rounds))


def drafter_passes(records: Records) -> int:
    """Drafter passes, those included whose token was never proposed."""
    return sum(len(r.entropies_nats) for r in _rounds(records))


def drafter_passes_per_token(records: Records) -> float:
    """Drafter passes for each output token."""
    return _ratio(drafter_passes(records), sum(r.emitted_len for r in _rounds(records)))


def empty_draft_share(records: Records) -> float:
    """Share of rounds that proposed nothing."""
    rounds = _rounds(records)
    return _ratio(sum(r.draft_len == 0 for r in rounds), len(rounds))


def overhead_share(records: Records) -> float:
    """Share of decode time that is no engine pass: entropy, strategy, verification, Python."""
    decode_s = sum(record.decode_s for record in records if record.status == "ok")
    engine_s = sum(r.drafter_s + r.verifier_s for r in _rounds(records))
    return _ratio(decode_s - engine_s, decode_s)


def entropy_share(records: Records) -> float:
    """Share of decode time spent measuring draft laws."""
    decode_s = sum(record.decode_s for record in records if record.status == "ok")
    return _ratio(sum(r.entropy_s for r in _rounds(records)), decode_s)


def strategy_share(records: Records) -> float:
    """Share of decode time spent in the stopping strategy."""
    decode_s = sum(record.decode_s for record in records if record.status == "ok")
    return _ratio(sum(r.strategy_s for r in _rounds(records)), decode_s)


def speedup(records: Records, baseline: Records, *, resamples: int = 2000) -> Interval:
    """Tokens per second over the baseline's, paired by prompt and seed.

    The interval is a bootstrap over prompts (percentiles), because rounds of one text resemble
    each other. With fewer than two prompts it is NaN.

    Args:
        records: One condition.
        baseline: Another one; prompts that either lacks are left out.
        resamples: Bootstrap samples, drawn with a fixed seed.
    """
    known = {(r.prompt_id, r.seed): r for r in baseline if r.status == "ok"}
    pairs = [
        (r.output_len, r.decode_s, other.output_len, other.decode_s)
        for r in records
        if r.status == "ok" and (other := known.get((r.prompt_id, r.seed))) is not None
    ]
    table = np.array(pairs, dtype=np.float64).reshape(-1, 4)
    return bootstrap(
        table, lambda sums: sums[..., 0] / sums[..., 1] / sums[..., 2] * sums[..., 3], resamples
    )


def bootstrap(
    table: np.ndarray, of_sums: Callable[[np.ndarray], np.ndarray], resamples: int
) -> Interval:
    """Return a function of column sums, with its percentile interval over resampled rows."""
    if not len(table):
        return Interval(float("nan"), float("nan"), float("nan"))
    value = float(of_sums(table.sum(axis=0)))
    if len(table) == 1:
        return Interval(value, float("nan"), float("nan"))
    picks = np.random.default_rng(0).integers(len(table), size=(resamples, len(table)))
    low, high = np.percentile(of_sums(table[picks].sum(axis=1)), [2.5, 97.5])
    return Interval(value, float(low), float(high))


if __name__ == "evaluation":
    # Imported by its bare name, with this folder on the path: be the package's own module.
    sys.modules[__name__] = importlib.import_module("smart_speed.evaluation")
