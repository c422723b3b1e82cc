"""From records to figures: each formula once.

Sums over sums, never means of rates: a rate of many sequences is what one long sequence made of
them would show. Records with status "error" carry no numbers and are left out.
"""

import importlib
import math
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

    def to_json(self) -> dict[str, float | None]:
        """Return the fields as JSON values; JSON knows no NaN, so what is not known is null."""
        return {
            name: value if math.isfinite(value) else None for name, value in self._asdict().items()
        }


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
    return bootstrap(_pairs(records, baseline), _times_faster, resamples)


def mean_speedup(groups: Sequence[tuple[Records, Records]], *, resamples: int = 2000) -> Interval:
    """Return the mean of several groups' speed-ups, such as those of tasks; each counts the same.

    Args:
        groups: For each, the records of one condition and its baseline's.
        resamples: Bootstrap samples of the prompts of each group, drawn with a fixed seed.
    """
    return bootstrap_mean([_pairs(*group) for group in groups], _times_faster, resamples)


def _pairs(records: Records, baseline: Records) -> np.ndarray:
    """Return a row of tokens and seconds, twice, for each prompt that both have answered."""
    known = {(r.prompt_id, r.seed): r for r in baseline if r.status == "ok"}
    pairs = [
        (r.output_len, r.decode_s, other.output_len, other.decode_s)
        for r in records
        if r.status == "ok" and (other := known.get((r.prompt_id, r.seed))) is not None
    ]
    return np.array(pairs, dtype=np.float64).reshape(-1, 4)


def _times_faster(sums: np.ndarray) -> np.ndarray:
    quotient: np.ndarray = sums[..., 0] / sums[..., 1] / sums[..., 2] * sums[..., 3]
    return quotient


def bootstrap(
    table: np.ndarray, of_sums: Callable[[np.ndarray], np.ndarray], resamples: int = 2000
) -> Interval:
    """Return a function of column sums, with its percentile interval over resampled rows."""
    return bootstrap_mean([table], of_sums, resamples)


def bootstrap_mean(
    tables: Sequence[np.ndarray],
    of_sums: Callable[[np.ndarray], np.ndarray],
    resamples: int = 2000,
) -> Interval:
    """Return the mean over tables of a function of column sums, with its percentile interval.

    Rows are drawn anew within each table, so that every table keeps its weight. The interval is
    NaN where a table has fewer than two rows, everything is where one has none.

    Args:
        tables: One each for what counts the same, such as a task; a row for each prompt.
        of_sums: From sums over the rows to the figure; the last axis holds the columns.
        resamples: Bootstrap samples, drawn with a fixed seed.
    """
    shortest = min((len(table) for table in tables), default=0)
    if not shortest:
        return Interval(float("nan"), float("nan"), float("nan"))
    value = float(np.mean([of_sums(table.sum(axis=0, keepdims=True)) for table in tables]))
    if shortest == 1:
        return Interval(value, float("nan"), float("nan"))
    rng = np.random.default_rng(0)
    drawn = []
    for table in tables:
        picks = rng.integers(len(table), size=(resamples, len(table)))
        drawn.append(of_sums(table[picks].sum(axis=1)))
    low, high = np.percentile(np.mean(drawn, axis=0), [2.5, 97.5])
    return Interval(value, float(low), float(high))


def ratio_of_medians(above: Sequence[float], below: Sequence[float]) -> Interval:
    """Return the quotient of two medians, with its percentile interval over resampled pairs.

    For seconds: a median does not mind the few measurements that something else interrupted.

    Args:
        above: One value for each repetition.
        below: Another, measured beside it.
    """
    table = np.array([above, below], dtype=np.float64).T
    if not len(table):
        return Interval(float("nan"), float("nan"), float("nan"))
    picks = np.random.default_rng(0).integers(len(table), size=(2000, len(table)))
    medians = np.median(table[np.vstack([np.arange(len(table)), picks])], axis=1)
    value, *drawn = (medians[:, 0] / medians[:, 1]).tolist()
    if len(table) == 1:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(value, float(low), float(high))


if __name__ == "evaluation":
    # Imported by its bare name, with this folder on the path: be the package's own module.
    sys.modules[__name__] = importlib.import_module("smart_speed.evaluation")
