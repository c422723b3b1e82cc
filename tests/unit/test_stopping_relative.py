"""Stop where the entropy has grown by a factor since the round began."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_speed.entropy import LawFacts
from smart_speed.errors import ConfigError
from smart_speed.stopping.base import DraftView
from smart_speed.stopping.relative import RelativeEntropy


@pytest.mark.parametrize(
    ("entropies", "reason"),
    [
        ((9.0,), None),  # the first law is its own yardstick
        ((1.0, 1.5), None),  # equal is not above
        ((1.0, 1.5000001), "relative"),
        ((1.0, 2.0, 1.2), None),  # only the latest law counts
        ((2.0, 1.0, 2.9), None),  # against the first law, not the lowest
        ((0.0, 0.375), None),  # the floor stands in for a first entropy near zero
        ((0.0, 0.376), "relative"),
    ],
)
def test_only_growth_beyond_the_factor_stops(
    entropies: tuple[float, ...], reason: str | None, view: Callable[..., DraftView]
) -> None:
    strategy = RelativeEntropy(theta_rel=1.5, floor_nats=0.25)
    assert strategy.reason_to_stop(view(*entropies), None) == reason


@given(
    entropies=st.lists(st.floats(0, 8), max_size=10),
    thetas=st.tuples(st.floats(1.01, 8), st.floats(1.01, 8)).map(sorted),
)
def test_a_larger_factor_never_drafts_less(
    entropies: list[float], thetas: list[float], passed_len: Callable[..., int]
) -> None:
    facts = [LawFacts(entropy, 0.5) for entropy in entropies]
    lower, higher = (passed_len(RelativeEntropy(theta_rel=theta), facts) for theta in thetas)
    assert lower <= higher


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"theta_rel": 1.0}, "theta_rel must be a ratio above 1, got 1.0."),
        (
            {"theta_rel": 2.0, "floor_nats": 0.0},
            "floor_nats must be a positive number of nats, got 0.0.",
        ),
    ],
)
def test_settings_that_break_a_rule_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RelativeEntropy(**settings)
    assert str(caught.value) == sentence
