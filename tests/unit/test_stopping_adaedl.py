"""AdaEDL: an entropy bound on acceptance, and the threshold that follows it."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_speed.entropy import LawFacts
from smart_speed.errors import ConfigError
from smart_speed.records import RoundRecord
from smart_speed.stopping.adaedl import AdaEdl, AdaEdlState
from smart_speed.stopping.base import DraftView


@pytest.mark.parametrize(
    ("entropies", "reason"),
    [
        ((1.0,), None),  # 1 - sqrt(0.25) = 0.5: equal is not below
        ((1.0000001,), "adaedl"),
        ((0.0, 4.0), "adaedl"),
        ((4.0, 0.0), None),  # only the latest law counts
    ],
)
def test_only_a_bound_below_the_threshold_stops(
    entropies: tuple[float, ...], reason: str | None, view: Callable[..., DraftView]
) -> None:
    strategy = AdaEdl(adaedl_gamma=0.25, adaedl_lambda=0.5)
    assert strategy.reason_to_stop(view(*entropies), strategy.initial_state()) == reason


def test_the_threshold_in_force_is_the_states(view: Callable[..., DraftView]) -> None:
    strategy = AdaEdl(adaedl_gamma=0.25, adaedl_lambda=0.5)
    assert strategy.reason_to_stop(view(1.0), AdaEdlState(threshold=0.51, acceptance=1.0))
    assert not strategy.reason_to_stop(view(1.0), AdaEdlState(threshold=0.49, acceptance=1.0))


def test_three_rounds_by_hand(outcome: Callable[..., RoundRecord]) -> None:
    """The acceptance starts at 1 and the threshold at 0.5.

    4 of 5 kept: acceptance 0.9, not below 0.9, not all kept: 0.9 * 0.5 + 0.1 * 0.49 = 0.499.
    4 of 4 kept: acceptance 0.95, all kept: the threshold stays.
    0 of 2 kept: acceptance 0.475, below 0.9: 0.9 * 0.499 + 0.1 * 0.509 = 0.5.
    """
    strategy = AdaEdl(adaedl_lambda=0.5)
    state = strategy.initial_state()
    steps = [((5, 4), 0.499, 0.9), ((4, 4), 0.499, 0.95), ((2, 0), 0.5, 0.475)]
    for (drafted, accepted), threshold, acceptance in steps:
        state = strategy.after_round(state, outcome(drafted=drafted, accepted=accepted))
        assert state.threshold == pytest.approx(threshold, abs=1e-15)
        assert state.acceptance == pytest.approx(acceptance, abs=1e-15)


def test_an_empty_draft_teaches_nothing(outcome: Callable[..., RoundRecord]) -> None:
    state = AdaEdlState(threshold=0.4, acceptance=0.7)
    assert AdaEdl().after_round(state, outcome(drafted=0, accepted=0)) == state


@given(
    entropies=st.lists(st.floats(0, 8), max_size=10),
    thetas=st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)).map(sorted),
)
def test_a_larger_threshold_never_drafts_more(
    entropies: list[float], thetas: list[float], passed_len: Callable[..., int]
) -> None:
    facts = [LawFacts(entropy, 0.5) for entropy in entropies]
    lower, higher = (passed_len(AdaEdl(adaedl_lambda=theta), facts) for theta in thetas)
    assert lower >= higher


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"adaedl_gamma": 0.0}, "adaedl_gamma must be positive, got 0.0."),
        ({"adaedl_lambda": 0.0}, "adaedl_lambda must be between 0 and 1, got 0.0."),
        ({"adaedl_lambda": 1.0}, "adaedl_lambda must be between 0 and 1, got 1.0."),
    ],
)
def test_settings_that_break_a_rule_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        AdaEdl(**settings)
    assert str(caught.value) == sentence
