"""Stop where the entropy is unusual for this text."""

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_speed.errors import ConfigError
from smart_speed.records import RoundRecord
from smart_speed.stopping.adaptive import AdaptiveEntropy, Moments
from smart_speed.stopping.base import DraftView

View = Callable[..., DraftView]
Outcome = Callable[..., RoundRecord]


@given(values=st.lists(st.floats(0, 12), min_size=1, max_size=40))
def test_moments_are_those_of_the_whole_series(values: list[float]) -> None:
    moments = reduce(Moments.add, values, Moments())
    assert moments.count == len(values)
    assert moments.mean == pytest.approx(np.mean(values))
    assert moments.std == pytest.approx(np.std(values), abs=1e-9)


def test_no_values_have_no_spread() -> None:
    assert Moments().std == 0


def test_only_laws_of_the_written_text_are_counted(outcome: Outcome) -> None:
    """Two of four tokens kept: the laws of those two and of the rejected one saw the text."""
    laws = (1.0, 2.0, 3.0, 40.0, 50.0)
    strategy = AdaptiveEntropy()
    record = outcome(drafted=4, accepted=2, entropies_nats=laws)
    state = strategy.after_round(strategy.initial_state(), record)
    assert (state.count, state.mean) == (3, 2.0)


@pytest.mark.parametrize(("entropy", "reason"), [(4.0, None), (4.0000001, "adaptive")])
def test_equal_is_not_above(entropy: float, reason: str | None, view: View) -> None:
    """Mean 2, standard deviation 1, two of them allowed."""
    state = Moments(count=4, mean=2.0, squares=4.0)
    strategy = AdaptiveEntropy(z=2.0, warmup=4)
    assert strategy.reason_to_stop(view(0.0, entropy), state) == reason


def test_nothing_stops_before_the_warm_up_is_over(view: View, outcome: Outcome) -> None:
    strategy = AdaptiveEntropy(z=0.0, warmup=3)
    state = strategy.initial_state()
    reasons = []
    for _ in range(4):
        reasons.append(strategy.reason_to_stop(view(9.0), state))
        state = strategy.after_round(state, outcome(drafted=1, accepted=1, entropies_nats=(1.0,)))
    assert reasons == [None, None, None, "adaptive"]


@given(
    values=st.lists(st.floats(0, 8), min_size=1, max_size=20),
    entropy=st.floats(0, 12),
    zs=st.tuples(st.floats(-3, 3), st.floats(-3, 3)).map(sorted),
)
def test_a_larger_z_never_stops_what_a_smaller_one_lets_pass(
    values: list[float], entropy: float, zs: list[float], view: View
) -> None:
    state = reduce(Moments.add, values, Moments())
    lower, higher = (
        AdaptiveEntropy(z=z, warmup=1).reason_to_stop(view(entropy), state) for z in zs
    )
    assert lower is not None or higher is None


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"z": math.inf}, "z must be a finite number of standard deviations, got inf."),
        ({"warmup": 0}, "warmup must be at least 1, got 0."),
    ],
)
def test_settings_that_break_a_rule_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        AdaptiveEntropy(**settings)
    assert str(caught.value) == sentence
