"""Stop where the mean entropy of the last positions exceeds a threshold."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_speed.entropy import LawFacts
from smart_speed.errors import ConfigError
from smart_speed.stopping.absolute import AbsoluteEntropy
from smart_speed.stopping.base import DraftView
from smart_speed.stopping.window import WindowEntropy

ENTROPIES = st.lists(st.floats(0, 8), max_size=10)


@pytest.mark.parametrize(
    ("entropies", "reason"),
    [
        ((1.0,), None),  # equal is not above
        ((1.5,), "window"),  # a short round is averaged as far as it goes
        ((0.0, 1.5), None),
        ((0.5, 0.5, 2.0), None),
        ((0.5, 0.5, 2.25), "window"),
        ((9.0, 0.5, 0.5, 1.5), None),  # the first has left the window
    ],
)
def test_only_a_mean_above_the_threshold_stops(
    entropies: tuple[float, ...], reason: str | None, view: Callable[..., DraftView]
) -> None:
    strategy = WindowEntropy(theta_abs=1.0, window_size=3)
    assert strategy.reason_to_stop(view(*entropies), None) == reason


@given(entropies=ENTROPIES, thetas=st.tuples(st.floats(0.01, 8), st.floats(0.01, 8)).map(sorted))
def test_a_larger_threshold_never_drafts_less(
    entropies: list[float], thetas: list[float], passed_len: Callable[..., int]
) -> None:
    facts = [LawFacts(entropy, 0.5) for entropy in entropies]
    lower, higher = (passed_len(WindowEntropy(theta_abs=theta), facts) for theta in thetas)
    assert lower <= higher


@given(entropies=ENTROPIES, theta=st.floats(0.01, 8))
def test_a_window_of_one_is_the_absolute_rule(
    entropies: list[float], theta: float, passed_len: Callable[..., int]
) -> None:
    facts = [LawFacts(entropy, 0.5) for entropy in entropies]
    window = WindowEntropy(theta_abs=theta, window_size=1)
    assert passed_len(window, facts) == passed_len(AbsoluteEntropy(theta_abs=theta), facts)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"theta_abs": 0.0}, "theta_abs must be a positive number of nats, got 0.0."),
        ({"theta_abs": 1.0, "window_size": 0}, "window_size must be at least 1, got 0."),
    ],
)
def test_settings_that_break_a_rule_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        WindowEntropy(**settings)
    assert str(caught.value) == sentence
