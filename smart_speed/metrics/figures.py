"""All figures of one condition, on all prompts or those of one task, as a document."""

from collections.abc import Sequence
from typing import Any

from smart_speed.metrics import rates, seconds
from smart_speed.metrics.correlation import entropy_acceptance
from smart_speed.metrics.intervals import known
from smart_speed.metrics.positions import (
    ENTROPY_EDGES_NATS,
    PROB_EDGES,
    JudgedTokens,
    acceptance_by_position,
    calibration_error,
    judged_tokens,
    share_by_bin,
)
from smart_speed.metrics.rates import Records
from smart_speed.metrics.speed import Answers
from smart_speed.metrics.texts import count_all_repeats


def condition_figures(answers: Answers) -> dict[str, Any]:
    """Return the figures that need no other condition, as JSON values; unknown ones are null.

    With BIN for {"low", "high", "num_tested", "num_accepted", "mean_value", "share"}; the last
    bin of entropies has no end, so its "high" is null::

        {"num_prompts", "num_sequences", "num_rounds", "num_tokens", "prefill_s", "decode_s",
         "finish_reasons": {REASON: COUNT}, "stop_reasons": {REASON: COUNT},
         "tokens_per_decode_s", "time_per_output_token_s",
         "latency": {"time_to_first_token_s": QUANTILES, "round_s": QUANTILES,
                     "sequence_s": QUANTILES},
         "time_shares": {"drafter", "verifier", "entropy", "strategy", "overhead"},
         "acceptance_rate", "mean_emitted_len", "mean_draft_len", "empty_draft_share",
         "drafter_passes_per_token",
         "wasted_passes": {"num_passes", "num_unproposed", "num_rejected", "share"},
         "draft_lens": [ROUNDS OF LENGTH 0, OF LENGTH 1, …],
         "acceptance_by_position": [{"position", "num_tested", "num_accepted", "share"}, …],
         "entropy_acceptance": {"num_tested", "num_accepted", "point_biserial": INTERVAL,
                                "spearman": INTERVAL, "auc": INTERVAL, "bins": [BIN, …]},
         "top_prob_reliability": {"calibration_error", "bins": [BIN, …]},
         "repetition": {"num_4grams", "num_repeated", "share"}}

    Args:
        answers: Of one condition, without repeats.
    """
    prompts: dict[str, list[Any]] = {}
    for each in answers:
        prompts.setdefault(each.prompt_id, []).append(each.record)
    records = [each.record for each in answers]
    tokens = judged_tokens(list(prompts.values()))
    repeats = count_all_repeats([each.tokens for each in answers])
    return {
        "num_prompts": len(prompts),
        "num_sequences": len(records),
        "num_rounds": len(rates.rounds_of(records)),
        "num_tokens": sum(record.output_len for record in records),
        "prefill_s": sum((record.prefill_s for record in records), 0.0),
        "decode_s": seconds.decode_s(records),
        "finish_reasons": rates.finish_reason_counts(records),
        "stop_reasons": rates.stop_reason_counts(records),
        **_speed(records),
        **_drafting(records),
        "entropy_acceptance": _entropy_acceptance(tokens),
        "top_prob_reliability": _reliability(tokens),
        "repetition": {**repeats._asdict(), "share": known(repeats.share)},
    }


def _speed(records: Records) -> dict[str, Any]:
    series: dict[str, Sequence[float]] = {
        "time_to_first_token_s": seconds.times_to_first_token_s(records),
        "round_s": [turn.round_s for turn in rates.rounds_of(records)],
        "sequence_s": [record.decode_s for record in records],
    }
    return {
        "tokens_per_decode_s": known(seconds.tokens_per_decode_s(records)),
        "time_per_output_token_s": known(seconds.time_per_output_token_s(records)),
        "latency": {name: seconds.quantiles(each).to_json() for name, each in series.items()},
        "time_shares": {
            "drafter": known(seconds.drafter_share(records)),
            "verifier": known(seconds.verifier_share(records)),
            "entropy": known(seconds.entropy_share(records)),
            "strategy": known(seconds.strategy_share(records)),
            "overhead": known(seconds.overhead_share(records)),
        },
    }


def _drafting(records: Records) -> dict[str, Any]:
    wasted = rates.wasted_passes(records)
    return {
        "acceptance_rate": known(rates.acceptance_rate(records)),
        "mean_emitted_len": known(rates.mean_emitted_len(records)),
        "mean_draft_len": known(rates.mean_draft_len(records)),
        "empty_draft_share": known(rates.empty_draft_share(records)),
        "drafter_passes_per_token": known(rates.drafter_passes_per_token(records)),
        "wasted_passes": {**wasted._asdict(), "share": known(wasted.share)},
        "draft_lens": rates.draft_len_counts(records),
        "acceptance_by_position": [each.to_json() for each in acceptance_by_position(records)],
    }


def _entropy_acceptance(tokens: JudgedTokens) -> dict[str, Any]:
    figures = entropy_acceptance(tokens)._asdict()
    bins = share_by_bin(tokens.entropy_nats, tokens.accepted, ENTROPY_EDGES_NATS)
    return {
        "num_tested": len(tokens.accepted),
        "num_accepted": int(tokens.accepted.sum()),
        **{name: interval.to_json() for name, interval in figures.items()},
        "bins": [each.to_json() for each in bins],
    }


def _reliability(tokens: JudgedTokens) -> dict[str, Any]:
    bins = share_by_bin(tokens.top_prob, tokens.accepted, PROB_EDGES)
    return {
        "calibration_error": known(calibration_error(bins)),
        "bins": [each.to_json() for each in bins],
    }
