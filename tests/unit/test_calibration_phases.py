"""Where predictable text ends: the threshold that says most of what the drafter gets right."""

from dataclasses import replace

import numpy as np
import pytest

from smart_speed.calibration.phase_threshold import learn_phases
from smart_speed.errors import ConfigError
from smart_speed.tracing.prepared import PreparedTrace
from tests.unit.planted import planted_trace


def text(
    entropies: list[float], agrees: list[bool], *, task: str = "", prompt_id: str = ""
) -> PreparedTrace:
    trace = planted_trace(agrees, task=task, prompt_id=prompt_id)
    return PreparedTrace(replace(trace, verifier_entropy_nats=np.array(entropies)))


def planted(theta: float, seed: int = 0, count: int = 400, wrong: float = 0.0) -> PreparedTrace:
    """A drafter that is right below an entropy, but for some noise."""
    rng = np.random.default_rng(seed)
    entropies = rng.uniform(0.0, 2.0, count)
    agrees = (entropies < theta) ^ (rng.random(count) < wrong)
    return text(entropies.tolist(), agrees.tolist())


@pytest.mark.parametrize("theta", [0.4, 0.9, 1.5])
def test_a_planted_threshold_is_found(theta: float) -> None:
    """Catches: phases swapped; entropies of another position."""
    found = learn_phases([planted(theta, wrong=0.02)])
    # Where entropies jump at random hysteresis only costs, so there is none.
    assert found.phases.phase_hysteresis == 0.0
    assert found.phases.theta_phase == pytest.approx(theta, abs=0.06)
    assert found.accept_predictable > 0.93
    assert found.accept_reasoning < 0.07
    assert found.predictable_share == pytest.approx(theta / 2, abs=0.06)
    assert 0 < found.information_nats < np.log(2)


def test_hysteresis_is_taken_where_it_costs_little() -> None:
    """Long phases with noise around the threshold: without hysteresis they would flicker."""
    rng = np.random.default_rng(1)
    easy = np.repeat(np.arange(20) % 2 == 0, 20)
    entropies = np.where(easy, 0.6, 1.4) + rng.uniform(-0.5, 0.5, easy.size)
    found = learn_phases([text(entropies.tolist(), easy.tolist())])
    assert found.phases.phase_hysteresis > 0
    assert found.mean_phase_len > 10


def test_tasks_count_the_same() -> None:
    """Catches: a long task that decides alone."""
    long = [planted(1.4, seed) for seed in range(6)]
    short = planted(0.6, 9)
    other = PreparedTrace(replace(short.trace, task="other"))
    pooled, even = learn_phases([*long, short]), learn_phases([*long, other])
    assert even.predictable_share == pytest.approx(pooled.predictable_share, abs=0.25)
    assert even.accept_predictable < pooled.accept_predictable


def test_sampled_texts_count_probabilities() -> None:
    trace = planted(1.0).trace
    sure = np.where(trace.verifier_entropy_nats < 1.0, 0.9, 0.2).astype(np.float32)
    overlap = np.full(trace.output_len, 0.5, dtype=np.float32)
    found = learn_phases([PreparedTrace(replace(trace, accept_prob=sure, overlap=overlap))])
    assert found.accept_predictable == pytest.approx(0.9, abs=0.03)
    assert found.accept_reasoning == pytest.approx(0.2, abs=0.03)


def test_what_is_kept_is_plain_and_whole() -> None:
    document = learn_phases([planted(1.0)]).to_json()
    assert set(document["settings"]) == {"theta_phase", "phase_hysteresis"}
    assert all(type(value) is float for value in document["settings"].values())
    assert len(document) == 6


def test_there_must_be_something_to_learn_from() -> None:
    with pytest.raises(ConfigError, match="Phases need verified texts"):
        learn_phases([])
    with pytest.raises(ConfigError, match="Phases need verified texts"):
        learn_phases([text([0.0] * 9, [True] * 9)])
