"""SpecDec++: a cap on the probability that a draft holds a rejected token."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_speed.config import EntropyConfig
from smart_speed.entropy import LawFacts
from smart_speed.errors import ConfigError
from smart_speed.records import RoundRecord
from smart_speed.stopping.acceptance import AcceptanceModel
from smart_speed.stopping.base import DraftView
from smart_speed.stopping.calibrated import Calibrated, Calibration
from smart_speed.stopping.specdec_pp import SpecDecPp
from tests.calibrations import CALIBRATION, COSTS

ACCEPTANCE = AcceptanceModel(
    bias=0.0,
    per_nat=-1.0,
    per_log_odds=0.0,
    per_recent=1.0,
    recent_rate=0.25,
    recent_start=0.5,
    edges=(-1.0, 0.0),
    accept_probs=(0.25, 0.75, 1.0),
    next_probs=((1.0, 0.0, 0.0),) * 3,
    first_edges=(),
    first_probs=((1.0, 0.0, 0.0),),
)
"""Accepted for certain up to ``recent`` nats; three times in four up to one nat more."""


def strategy_of(**settings: Any) -> SpecDecPp:
    known = Calibration(acceptance=ACCEPTANCE, costs=COSTS, rate=1.0, price=1.0)
    return SpecDecPp(calibration=known, **settings)


@pytest.mark.parametrize(
    ("entropies", "reason"),
    [
        ((0.0, 0.0, 0.0), None),
        ((1.0,), None),  # 1 - 0.75 = 0.25
        ((1.0, 0.0), None),
        ((1.0, 1.0), "specdec_pp"),  # 1 - 0.5625
        ((2.0,), "specdec_pp"),
        ((2.0, 0.0), "specdec_pp"),  # what was unsure stays in the product
    ],
)
def test_published_threshold_counts_every_law_of_the_round(
    entropies: tuple[float, ...], reason: str | None, view: Callable[..., DraftView]
) -> None:
    """Catches: a rule on the latest law alone, or one that leaves the latest law out."""
    assert strategy_of().reason_to_stop(view(*entropies), 0.5) == reason


@pytest.mark.parametrize(("threshold", "reason"), [(0.25, None), (0.2499999, "specdec_pp")])
def test_equal_is_not_above(
    threshold: float, reason: str | None, view: Callable[..., DraftView]
) -> None:
    assert strategy_of(specdec_h=threshold).reason_to_stop(view(1.0), 0.5) == reason


def test_recent_acceptance_is_what_the_model_reads(view: Callable[..., DraftView]) -> None:
    strategy = strategy_of()
    assert strategy.reason_to_stop(view(0.8, 0.8), 0.5) == "specdec_pp"
    assert strategy.reason_to_stop(view(0.8, 0.8), 0.9) is None


def test_two_rounds_by_hand(outcome: Callable[..., RoundRecord]) -> None:
    """One kept, then one rejected: 0.5 + 0.5 / 4 = 0.625, and 0.625 * 3 / 4 = 0.46875."""
    strategy = strategy_of()
    state = strategy.initial_state()
    assert state == 0.5
    state = strategy.after_round(state, outcome(drafted=1, accepted=1))
    assert state == 0.625
    assert strategy.after_round(state, outcome(drafted=3, accepted=0)) == 0.46875


@given(
    rounds=st.lists(
        st.integers(0, 5).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), max_size=8
    )
)
def test_recent_acceptance_is_tracked_as_calibrated_does(
    rounds: list[tuple[int, int]], outcome: Callable[..., RoundRecord]
) -> None:
    ours, other = SpecDecPp(calibration=CALIBRATION), Calibrated(calibration=CALIBRATION)
    state, known = ours.initial_state(), other.initial_state()
    assert state == known.recent
    for drafted_len, accepted in rounds:
        turn = outcome(drafted=drafted_len, accepted=accepted)
        state, known = ours.after_round(state, turn), other.after_round(known, turn)
        assert state == known.recent


@given(
    entropies=st.lists(st.floats(0, 8), max_size=10),
    thresholds=st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)).map(sorted),
)
def test_a_larger_threshold_never_drafts_less(
    entropies: list[float], thresholds: list[float], passed_len: Callable[..., int]
) -> None:
    facts = [LawFacts(entropy, 0.5) for entropy in entropies]
    lower, higher = (passed_len(strategy_of(specdec_h=each), facts) for each in thresholds)
    assert lower <= higher


def test_the_token_that_crossed_the_threshold_is_still_proposed() -> None:
    config = EntropyConfig(strategy="specdec_pp", calibration=CALIBRATION)
    assert config.keeps_uncertain
    assert config.draft_cap == 20
    assert config.build_strategy() == SpecDecPp(calibration=CALIBRATION, specdec_h=0.3)


@pytest.mark.parametrize("value", [0.0, 1.0, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(value: float) -> None:
    with pytest.raises(ConfigError) as caught:
        strategy_of(specdec_h=value)
    assert str(caught.value) == f"specdec_h must be between 0 and 1, got {value}."


def test_it_cannot_do_without_a_calibration() -> None:
    with pytest.raises(ConfigError) as caught:
        EntropyConfig(strategy="specdec_pp")
    assert str(caught.value) == (
        "calibration must be given with strategy 'specdec_pp', as a profile does: see "
        "`smart-speed calibrate`, got None."
    )
