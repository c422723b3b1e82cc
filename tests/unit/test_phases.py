"""Two phases of a text, and the hysteresis between them."""

from itertools import pairwise

import pytest

from smart_speed.errors import ConfigError
from smart_speed.phases import Phases


def test_the_first_law_is_judged_by_the_bare_threshold() -> None:
    phases = Phases(theta_phase=1.0, phase_hysteresis=0.5)
    assert phases.phase_after(None, 1.0) == "predictable"
    assert phases.phase_after(None, 1.01) == "reasoning"


def test_an_entropy_between_the_thresholds_changes_nothing() -> None:
    phases = Phases(theta_phase=1.0, phase_hysteresis=0.2)
    assert phases.phases_along([0.5, 1.19, 1.21, 0.81, 0.79, 1.1]) == [
        "predictable", "predictable", "reasoning", "reasoning", "predictable", "predictable",
    ]  # fmt: skip


def test_hysteresis_stops_a_flicker() -> None:
    noisy = [1.1, 0.9] * 5
    changes = [
        sum(one != other for one, other in pairwise(phases.phases_along(noisy)))
        for phases in (Phases(phase_hysteresis=0.0), Phases(phase_hysteresis=0.2))
    ]
    assert changes == [9, 0]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"theta_phase": 0.0}, "theta_phase must be a positive number of nats, got 0.0."),
        ({"theta_phase": float("nan")}, "theta_phase must be a positive number of nats, got nan."),
        ({"phase_hysteresis": 1.0}, "phase_hysteresis must be at least 0 and below 1, got 1.0."),
    ],
)
def test_settings_that_break_a_rule_are_refused(settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        Phases(**settings)
    assert str(refusal.value) == sentence
