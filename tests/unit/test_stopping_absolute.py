"""Stop where the entropy exceeds a threshold."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_speed.entropy import LawFacts
from smart_speed.errors import ConfigError
from smart_speed.stopping.absolute import AbsoluteEntropy
from smart_speed.stopping.base import DraftView


@pytest.mark.parametrize(
    ("entropies", "reason"),
    [
        ((1.2,), None),  # equal is not above
        ((1.2000001,), "absolute"),
        ((0.1, 3.0), "absolute"),
        ((3.0, 0.1), None),  # only the latest law counts
    ],
)
def test_only_a_latest_entropy_above_the_threshold_stops(
    entropies: tuple[float, ...], reason: str | None, view: Callable[..., DraftView]
) -> None:
    assert AbsoluteEntropy(theta_abs=1.2).reason_to_stop(view(*entropies), None) == reason


@given(
    entropies=st.lists(st.floats(0, 8), max_size=10),
    thetas=st.tuples(st.floats(0.01, 8), st.floats(0.01, 8)).map(sorted),
)
def test_a_larger_threshold_never_drafts_less(
    entropies: list[float], thetas: list[float], passed_len: Callable[..., int]
) -> None:
    facts = [LawFacts(entropy, 0.5) for entropy in entropies]
    lower, higher = (passed_len(AbsoluteEntropy(theta_abs=theta), facts) for theta in thetas)
    assert lower <= higher


@pytest.mark.parametrize("theta", [0.0, -1.0, math.nan])
def test_a_threshold_must_be_positive(theta: float) -> None:
    with pytest.raises(ConfigError) as caught:
        AbsoluteEntropy(theta_abs=theta)
    assert str(caught.value) == f"theta_abs must be a positive number of nats, got {theta}."
