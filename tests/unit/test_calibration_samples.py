"""Traces as samples: which positions count, and what was known before each."""

import numpy as np
import pytest

from smart_speed.calibration.samples import all_samples, samples_of
from smart_speed.errors import ConfigError
from smart_speed.sampling import Sampling
from smart_speed.stopping.acceptance import log_odds
from smart_speed.tracing.prepared import PreparedTrace
from tests.unit.planted import planted_trace, toy_texts
from tests.unit.traced import PROMPTS, trace_of

AGREES = (True, False, False, True, True)
NATS = (0.1, 0.2, 0.3, 0.4, 0.5)
PROBS = (0.9, 0.8, 0.7, 0.6, 0.5)


def planted() -> PreparedTrace:
    return PreparedTrace(planted_trace(AGREES, entropies_nats=NATS, top_probs=PROBS))


def test_each_position_is_a_sample() -> None:
    """Catches: passes after a mismatch taken for positions."""
    samples = samples_of(planted())
    assert samples.accepted.tolist() == list(AGREES)
    assert samples.entropy_nats.tolist() == list(NATS)
    assert samples.log_odds.tolist() == [log_odds(prob) for prob in PROBS]
    assert samples_of(planted(), "renyi").entropy_nats.tolist() == [each / 2 for each in NATS]


def test_recent_acceptance_knows_only_what_was_before() -> None:
    found = samples_of(planted()).recent(0.5, 0.1)
    expected = [0.5, 0.55, 0.495, 0.4455, 0.50095]
    assert found.tolist() == pytest.approx(expected)


def test_a_cut_output_has_fewer_samples() -> None:
    trace = planted_trace(AGREES)
    assert samples_of(PreparedTrace(trace, max_new_tokens=3)).accepted.tolist() == [
        True, False, False,
    ]  # fmt: skip


def test_samples_end_where_the_drafters_context_is_full() -> None:
    trace = trace_of("short", 0, PROMPTS[1], max_new_tokens=48)
    samples = samples_of(PreparedTrace(trace))
    assert len(samples.accepted) == 20 - len(PROMPTS[1])
    assert samples.accepted.tolist() == trace.agrees()[: len(samples.accepted)].tolist()


def test_a_sampled_text_is_taken_as_it_was_realised() -> None:
    trace = trace_of("model", 0, PROMPTS[0], sampling=Sampling(temperature=1.0, seed=3))
    texts = [PreparedTrace(trace, seed=seed) for seed in range(40)]
    found = [samples_of(each).accepted for each in texts]
    assert trace.accept_prob is not None
    assert len({tuple(each.tolist()) for each in found}) > 1
    np.testing.assert_allclose(np.mean(found, axis=0), trace.accept_prob, atol=0.3)


def test_too_little_to_learn_from_is_refused() -> None:
    with pytest.raises(ConfigError, match="traces must be 100 positions or more, got 5"):
        all_samples([planted()])
    for kept in (True, False):
        alike = PreparedTrace(planted_trace([kept] * 120))
        with pytest.raises(ConfigError, match="of accepted and of rejected tokens, to tell them"):
            all_samples([alike])
    found = all_samples(toy_texts())
    assert sum(len(each.accepted) for each in found) == sum(each.output_len for each in toy_texts())
