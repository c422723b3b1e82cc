"""Stop where the likeliest token is unlikely."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_speed.entropy import LawFacts
from smart_speed.errors import ConfigError
from smart_speed.stopping.base import DraftView
from smart_speed.stopping.confidence import Confidence


@pytest.mark.parametrize(
    ("top_prob", "reason"),
    [(0.4, None), (0.3999999, "confidence"), (0.9, None)],  # equal is not below
)
def test_only_a_top_probability_below_the_threshold_stops(
    top_prob: float, reason: str | None, view: Callable[..., DraftView]
) -> None:
    draft = view(9.0, top_prob=top_prob)
    assert Confidence(theta_conf=0.4).reason_to_stop(draft, None) == reason


def test_only_the_latest_law_counts() -> None:
    draft = DraftView((LawFacts(0.1, 0.1), LawFacts(0.1, 0.9)))
    assert Confidence().reason_to_stop(draft, None) is None


@given(
    top_probs=st.lists(st.floats(0, 1), max_size=10),
    thetas=st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)).map(sorted),
)
def test_a_larger_threshold_never_drafts_more(
    top_probs: list[float], thetas: list[float], passed_len: Callable[..., int]
) -> None:
    facts = [LawFacts(1.0, top_prob) for top_prob in top_probs]
    lower, higher = (passed_len(Confidence(theta_conf=theta), facts) for theta in thetas)
    assert lower >= higher


@pytest.mark.parametrize("theta", [0.0, 1.0, -0.5])
def test_a_threshold_must_be_a_probability(theta: float) -> None:
    with pytest.raises(ConfigError) as caught:
        Confidence(theta_conf=theta)
    assert str(caught.value) == f"theta_conf must be a probability between 0 and 1, got {theta}."
