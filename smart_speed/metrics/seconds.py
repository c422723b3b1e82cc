"""Figures of measured seconds: rates, latencies, and what the time went into."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from smart_speed.metrics.intervals import known
from smart_speed.metrics.rates import Records, answered, ratio, rounds_of


class Quantiles(NamedTuple):
    """Of a series, by linear interpolation between its sorted values; NaN if it is empty."""

    p50: float
    p90: float
    p99: float

    def to_json(self) -> dict[str, float | None]:
        """Return the fields as JSON values."""
        return {name: known(value) for name, value in self._asdict().items()}


def quantiles(values: Sequence[float]) -> Quantiles:
    """Return the value that half, 90 % and 99 % of a series do not exceed."""
    if not values:
        return Quantiles(float("nan"), float("nan"), float("nan"))
    return Quantiles(*np.percentile(values, [50, 90, 99]).tolist())


def decode_s(records: Records) -> float:
    """Seconds of all rounds."""
    return sum((record.decode_s for record in answered(records)), 0.0)


def tokens_per_decode_s(records: Records) -> float:
    """Output tokens per second of decoding; prefill is not in it."""
    return ratio(sum(record.output_len for record in answered(records)), decode_s(records))


def time_per_output_token_s(records: Records) -> float:
    """Seconds of decoding for each output token; prefill is not in it."""
    return ratio(decode_s(records), sum(record.output_len for record in answered(records)))


def times_to_first_token_s(records: Records) -> list[float]:
    """Return for each output the seconds of prefill and of its first round.

    The tokens of a round arrive together, so the first token comes with those of its round.
    """
    return [
        record.prefill_s + record.rounds[0].round_s for record in answered(records) if record.rounds
    ]


def overhead_share(records: Records) -> float:
    """Share of decode time that is no engine pass: entropy, strategy, verification, Python."""
    engine_s = sum(r.drafter_s + r.verifier_s for r in rounds_of(records))
    return ratio(decode_s(records) - engine_s, decode_s(records))


def drafter_share(records: Records) -> float:
    """Share of decode time spent in drafter passes."""
    return ratio(sum(r.drafter_s for r in rounds_of(records)), decode_s(records))


def verifier_share(records: Records) -> float:
    """Share of decode time spent in verifier passes."""
    return ratio(sum(r.verifier_s for r in rounds_of(records)), decode_s(records))


def entropy_share(records: Records) -> float:
    """Share of decode time spent measuring draft laws."""
    return ratio(sum(r.entropy_s for r in rounds_of(records)), decode_s(records))


def strategy_share(records: Records) -> float:
    """Share of decode time spent in the stopping strategy."""
    return ratio(sum(r.strategy_s for r in rounds_of(records)), decode_s(records))
