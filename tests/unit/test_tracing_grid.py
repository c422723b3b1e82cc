"""Many settings side by side, against each of them played alone."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from smart_speed.config import EntropyConfig
from smart_speed.errors import ConfigError
from smart_speed.tracing.grid import count_absolute, count_fixed
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.replay import replay
from smart_speed.tracing.rounds import RoundCounts
from smart_speed.tracing.traces import ENTROPY_TYPES
from tests.unit.traced import DRAFTERS, LONGEST, PROMPTS, costs_of, trace_of

TEXTS = list(product(DRAFTERS, (0, 1, 3), PROMPTS[:2]))


def assert_same(found: RoundCounts, alone: list[RoundCounts]) -> None:
    for policy, expected in enumerate(alone):
        lens = np.trim_zeros(found.by_draft_len[policy], "b").tolist()
        assert lens == expected.by_draft_len[0].tolist()
        for name in ("num_tokens", "num_passes", "num_drafting", "num_rounds"):
            assert getattr(found, name)[policy] == getattr(expected, name)[0]


@pytest.mark.parametrize(("kind", "seed", "prompt"), TEXTS)
def test_fixed_lengths(kind: str, seed: int, prompt: tuple[int, ...]) -> None:
    for max_new_tokens in (None, 5):
        prepared = PreparedTrace(trace_of(kind, seed, prompt), max_new_tokens=max_new_tokens)
        lens = range(1, LONGEST + 1)
        configs = [EntropyConfig(strategy="fixed", max_draft_len=length) for length in lens]
        configs.append(EntropyConfig(strategy="plain"))
        alone = [RoundCounts.of(replay(prepared, config)) for config in configs]
        assert_same(count_fixed(prepared, [*lens, 0]), alone)


@pytest.mark.parametrize("placement", ["after", "before"])
@pytest.mark.parametrize(("kind", "seed", "prompt"), TEXTS)
def test_absolute_thresholds(kind: str, seed: int, prompt: tuple[int, ...], placement: Any) -> None:
    """Thresholds that are entropies of the trace are among them: nothing is above itself."""
    prepared = PreparedTrace(trace_of(kind, seed, prompt))
    for entropy_type, (cap, least) in zip(
        ENTROPY_TYPES, ((LONGEST, 0), (3, 3), (6, 2)), strict=True
    ):
        held = prepared.trace.passes.entropy_nats(entropy_type)
        thetas = [1e-9, 0.5, 1.0, 1.5, 99.0, *held[held > 0][:3].tolist()]
        settings: dict[str, Any] = {
            "max_draft_len": cap,
            "min_draft_len": least,
            "stop_placement": placement,
            "entropy_type": entropy_type,
        }
        alone = [
            RoundCounts.of(replay(prepared, EntropyConfig(theta_abs=theta, **settings)))
            for theta in thetas
        ]
        assert_same(count_absolute(prepared, thetas, **settings), alone)


def test_defaults_are_the_strategys() -> None:
    prepared = PreparedTrace(trace_of("model", 0, PROMPTS[0]))
    alone = RoundCounts.of(replay(prepared, EntropyConfig(theta_abs=1.2)))
    assert_same(count_absolute(prepared, [1.2]), [alone])


def test_settings_cost_what_they_cost_alone() -> None:
    prepared, costs = PreparedTrace(trace_of("model", 0, PROMPTS[1])), costs_of()
    thetas = np.linspace(0.1, 2.5, 13).tolist()
    seconds = costs.seconds_of(count_absolute(prepared, thetas))
    alone = [costs.seconds(replay(prepared, EntropyConfig(theta_abs=theta))) for theta in thetas]
    np.testing.assert_allclose(seconds, alone)
    assert len(set(seconds.tolist())) > 3


def test_no_setting_gives_no_counts() -> None:
    prepared = PreparedTrace(trace_of("model", 0, PROMPTS[0]))
    assert count_absolute(prepared, []).num_rounds.tolist() == []
    assert count_fixed(prepared, []).num_rounds.tolist() == []


def test_settings_that_break_a_rule_are_refused() -> None:
    prepared = PreparedTrace(trace_of("model", 0, PROMPTS[0], longest=2))
    with pytest.raises(ConfigError, match="thetas must be positive numbers of nats"):
        count_absolute(prepared, [1.0, 0.0])
    with pytest.raises(ConfigError, match=r"min_draft_len must be 0 to max_draft_len \(2\), got 3"):
        count_absolute(prepared, [1.0], max_draft_len=2, min_draft_len=3)
    with pytest.raises(ConfigError, match="draft_lens must be at least 0"):
        count_fixed(prepared, [-1])
    too_short = "max_draft_len must be at most 2, the continuations"
    with pytest.raises(ConfigError, match=too_short):
        count_fixed(prepared, [9])
    with pytest.raises(ConfigError, match=too_short):
        count_absolute(prepared, [1.0])
