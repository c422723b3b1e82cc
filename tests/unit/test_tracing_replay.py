"""Replay against live decoding: the same rounds, to the last bit of every entropy."""

from collections import Counter
from itertools import product
from typing import Any

import pytest

from smart_speed.config import EntropyConfig
from smart_speed.errors import ConfigError
from smart_speed.evaluation import mean_emitted_len, tokens_per_decode_s
from smart_speed.sampling import Sampling
from smart_speed.strategies import STRATEGIES
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.replay import predicted_record, replay
from tests.calibrations import beside
from tests.unit.traced import (
    DRAFTERS,
    ENDING,
    LONGEST,
    NEW_TOKENS,
    PROMPTS,
    costs_of,
    counted,
    live_record,
    trace_of,
)

# Thresholds in the middle of what six tokens can have, so that every rule sometimes fires.
SETTINGS: dict[str, dict[str, Any]] = {
    "absolute": {"theta_abs": 1.3},
    "relative": {"theta_rel": 1.02},
    "window": {"theta_abs": 1.3, "window_size": 2},
    "combined": {"theta_abs": 1.4, "theta_rel": 1.1},
    "adaptive": {"warmup": 3, "z": 0.3},
    "confidence": {"theta_conf": 0.5},
    "heuristic": {"start_len": 2},
    "svip": {"svip_h": 0.45},
    "adaedl": {"adaedl_gamma": 0.15},
    "specdec_pp": {"specdec_h": 0.6},
    "ema": {"tiers": (1, 3, 7), "ema_alpha": 0.6},
}
PLACED = [
    (name, placement)
    for name, kind in sorted(STRATEGIES.items())
    for placement in ([None] if "stop_placement" in kind.ignores else ["after", "before"])
]
LENGTHS = [(LONGEST, 0), (3, 2), (5, 5), (1, 0)]
"""Cap, and the least that a round drafts."""
TEXTS = [(0, PROMPTS[0]), (0, PROMPTS[2]), (1, PROMPTS[1]), (2, PROMPTS[0]), (3, PROMPTS[1])]


def config_of(strategy: str, cap: int, least: int, **settings: Any) -> EntropyConfig:
    lens: dict[str, Any] = (
        {} if strategy == "plain" else {"max_draft_len": cap, "min_draft_len": least}
    )
    lens = {name: val for name, val in lens.items() if name not in STRATEGIES[strategy].ignores}
    own = SETTINGS.get(strategy, {}) | beside(strategy)
    return EntropyConfig(strategy=strategy, **lens, **own, **settings)


def assert_replays(
    config: EntropyConfig, kind: str, seed: int, prompt: tuple[int, ...], **settings: Any
) -> Counter[str]:
    """Compare with live decoding; return the stop reasons."""
    live = live_record(config, kind, seed, prompt, **settings)
    prepared = PreparedTrace(trace_of(kind, seed, prompt, **settings))
    found = predicted_record(prepared, config, costs_of())
    assert [counted(turn) for turn in found.rounds] == [counted(turn) for turn in live.rounds]
    for name in ("output_len", "finish_reason", "prompt_len", "lossless", "condition"):
        assert getattr(found, name) == getattr(live, name)
    return Counter(turn.stop_reason for turn in live.rounds)


@pytest.mark.parametrize("kind", DRAFTERS)
@pytest.mark.parametrize(("strategy", "placement"), PLACED)
def test_replay_is_live_decoding_round_by_round(strategy: str, placement: Any, kind: str) -> None:
    """Catches: a cap in another order, a stop asked for too early, a state fed too late, a tail
    shared where the drafter does not share it, an end of text that is not one."""
    reasons: Counter[str] = Counter()
    lengths = LENGTHS if kind in ("model", "ngram") else LENGTHS[:2]
    for (cap, least), (seed, prompt) in product(lengths, TEXTS):
        placed = {} if placement is None else {"stop_placement": placement}
        config = config_of(strategy, cap, least, **placed)
        reasons += assert_replays(config, kind, seed, prompt)
    if strategy in SETTINGS:
        assert reasons["absolute" if strategy == "combined" else strategy] > 0
    if strategy != "plain":
        rare = kind in ("trimmed", "short") or (strategy, kind) == ("route", "ngram")
        assert reasons["eos"] > 0 or rare
        assert reasons["budget"] > 0
        assert (reasons["drafter_context"] > 0) == (kind == "short")


@pytest.mark.parametrize("kind", ["model", "ngram"])
@pytest.mark.parametrize("max_new_tokens", range(1, 12))
def test_rounds_end_with_the_budget(max_new_tokens: int, kind: str) -> None:
    for strategy, seed in product(["fixed", "absolute", "ema", "adaptive"], ENDING):
        config = config_of(strategy, LONGEST, 0)
        assert_replays(config, kind, seed, PROMPTS[1], max_new_tokens=max_new_tokens)


@pytest.mark.parametrize("max_new_tokens", [1, 2, 3, 7, 19])
def test_a_trace_serves_shorter_outputs_as_well(max_new_tokens: int) -> None:
    for strategy, seed, kind in product(["fixed", "relative", "heuristic"], ENDING, DRAFTERS):
        config = config_of(strategy, 5, 0)
        live = live_record(config, kind, seed, PROMPTS[0], max_new_tokens=max_new_tokens)
        prepared = PreparedTrace(trace_of(kind, seed, PROMPTS[0]), max_new_tokens=max_new_tokens)
        found = predicted_record(prepared, config, costs_of())
        assert [counted(turn) for turn in found.rounds] == [counted(turn) for turn in live.rounds]
        assert (found.output_len, found.finish_reason) == (live.output_len, live.finish_reason)


@pytest.mark.parametrize("entropy_type", ["renyi", "topk"])
def test_every_entropy_can_be_replayed(entropy_type: Any) -> None:
    for strategy, kind, (seed, prompt) in product(["absolute", "adaptive"], DRAFTERS, TEXTS):
        assert_replays(config_of(strategy, 6, 0, entropy_type=entropy_type), kind, seed, prompt)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(ignore_eos=True),
        Sampling(stop_tokens=(1, 3)),
        Sampling(repetition_penalty=1.8),
    ],
    ids=["past the end", "stop tokens", "penalty"],
)
@pytest.mark.parametrize("kind", DRAFTERS)
def test_outputs_may_end_or_be_penalised_otherwise(kind: str, sampling: Sampling) -> None:
    for strategy, (seed, prompt) in product(["fixed", "absolute", "heuristic"], TEXTS):
        assert_replays(config_of(strategy, 6, 0), kind, seed, prompt, sampling=sampling)


def test_a_prediction_can_be_evaluated_as_a_measurement_is() -> None:
    prepared, costs = PreparedTrace(trace_of("model", 0, PROMPTS[0])), costs_of()
    config = config_of("fixed", 5, 0)
    rounds = replay(prepared, config)
    record = predicted_record(prepared, config, costs, condition="mine")
    assert (record.condition, record.engine) == ("mine", "replay")
    assert record.decode_s == pytest.approx(sum(turn.round_s for turn in record.rounds))
    assert tokens_per_decode_s([record]) == pytest.approx(NEW_TOKENS / costs.seconds(rounds))
    assert mean_emitted_len([record]) == pytest.approx(NEW_TOKENS / len(rounds))
    turn = max(record.rounds, key=lambda turn: len(turn.entropies_nats))
    passes = len(turn.entropies_nats)
    assert passes > 1
    assert turn.drafter_s == pytest.approx(passes * 0.2 + 0.03)
    assert turn.verifier_s == pytest.approx(1 + 0.05 * turn.draft_len)
    assert turn.strategy_s == pytest.approx(passes * 0.001)


def test_drafts_longer_than_the_trace_are_refused() -> None:
    """But only where one would be: tokens that agree are known however many there are."""
    prepared = PreparedTrace(trace_of("model", 0, PROMPTS[0], longest=2))
    assert replay(prepared, config_of("fixed", 2, 0))
    with pytest.raises(ConfigError) as caught:
        replay(prepared, config_of("fixed", 9, 0))
    assert str(caught.value) == (
        "max_draft_len must be at most 2, the continuations that the trace of '0/(2,)' with "
        "'model' holds, got 9."
    )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"entropy_type": "renyi", "renyi_order": 3.0},
            "renyi_order must be 2.0, which is what traces hold, got 3.0.",
        ),
        (
            {"entropy_type": "topk", "entropy_top_k": 7},
            "entropy_top_k must be 50, which is what traces hold, got 7.",
        ),
    ],
)
def test_entropies_that_traces_do_not_hold_are_refused(
    settings: dict[str, Any], sentence: str
) -> None:
    prepared = PreparedTrace(trace_of("model", 0, PROMPTS[0]))
    with pytest.raises(ConfigError) as caught:
        replay(prepared, EntropyConfig(**settings))
    assert str(caught.value) == sentence


def test_parameters_that_are_the_defaults_may_be_said() -> None:
    prepared = PreparedTrace(trace_of("model", 0, PROMPTS[0]))
    config = EntropyConfig(entropy_type="renyi", renyi_order=2.0)
    assert replay(prepared, config) == replay(prepared, EntropyConfig(entropy_type="renyi"))


@pytest.mark.parametrize("wanted", [0, 25])
def test_outputs_that_the_trace_does_not_hold_are_refused(wanted: int) -> None:
    with pytest.raises(ConfigError) as caught:
        PreparedTrace(trace_of("model", 0, PROMPTS[0]), max_new_tokens=wanted)
    assert str(caught.value) == f"max_new_tokens must be 1 to 24 for this trace, got {wanted}."
