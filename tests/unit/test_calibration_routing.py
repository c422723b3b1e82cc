"""Learning whom to choose: on drafters of which each is right in one half of the text."""

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest

from smart_speed.calibration.route_judging import ALL_KNOWING, ORACLE, RouteJudge
from smart_speed.calibration.routing import Outcomes, Routed, fit_gains, learn_routing
from smart_speed.errors import ConfigError
from smart_speed.stopping.routing import FEATURES
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.replay import replay_routed
from tests.calibrations import CALIBRATION, routing_of
from tests.unit.traced import ENDING, PROMPTS, costs_of, trace_of

NAMES = ("model", "ngram")


@cache
def texts() -> tuple[list[PreparedTrace], ...]:
    return tuple(
        [PreparedTrace(trace_of(name, seed, prompt)) for name in NAMES]
        for seed, prompt in product(ENDING, PROMPTS)
    )


def drafters() -> Routed:
    costs = [costs_of(0.12, widest=20), costs_of(0.01, widest=20)]
    known = [replace(each, catch_up_s=0.01) for each in costs]
    return Routed.of(NAMES, [CALIBRATION, CALIBRATION], known)


def test_a_line_is_found_again() -> None:
    """Gains that are planted, up to the penalty and some noise."""
    rng = np.random.default_rng(0)
    size = len(FEATURES) + 2
    features = rng.normal(1.0, 1.0, size=(6000, size))
    weights = np.zeros((2, size))
    weights[0, 0], weights[1, 4] = 0.5, -0.7
    gains = features @ weights.T + np.array([0.3, -0.2])
    seconds = rng.uniform(0, 0.1, size=gains.shape)
    noise = rng.normal(0, 0.05, size=gains.shape)
    rate = 3.0
    found = fit_gains(Outcomes(features, gains + rate * seconds + noise, seconds), rate)
    np.testing.assert_allclose(found.weights, weights, atol=0.01)
    expected = np.array([0.3, -0.2]) + weights @ found.means
    np.testing.assert_allclose(found.biases, expected, atol=0.02)
    blind = fit_gains(Outcomes(features, gains, seconds), rate, reads_verifier=False)
    assert not blind.weights[:, :2].any()


def test_features_that_were_not_known_do_not_move_the_line() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(4000, len(FEATURES) + 2))
    features[:, 2:5] = np.nan
    gains = features[:, :1] * np.array([[0.4, 0.0]])
    found = fit_gains(Outcomes(features, gains, np.zeros_like(gains)), 1.0)
    assert found.weights[0, 0] == pytest.approx(0.4, abs=0.01)
    assert np.isfinite(found.weights).all()
    assert not found.weights[:, 2:5].any()


def test_what_is_learned_is_not_slower_than_any_drafter_alone() -> None:
    known = drafters()
    routing = learn_routing(texts(), known)
    judge = RouteJudge(texts(), known, routing)
    found = judge.judge_all()
    alone = max(found[name].speed.value for name in NAMES)
    assert found["route"].over_fixed.value >= 1 - 1e-9
    assert found["route"].speed.value >= alone * 0.98  # a mean of tasks is not a rate
    assert routing.rate == pytest.approx(known.rate_of(routing, texts()))


def test_a_routing_says_whether_there_is_a_choice() -> None:
    assert [drafters().constant(arm, 9.0).always for arm in range(len(NAMES))] == [*NAMES]
    assert routing_of(*NAMES).always is None
    first = drafters().constant(0, 9.0)
    nobody = replace(first, arms=tuple(replace(each, bias=-1.0) for each in first.arms))
    assert nobody.always is None


def test_bounds_are_in_their_order() -> None:
    known = drafters()
    judge = RouteJudge(texts(), known, routing_of(*NAMES))
    found = judge.judge_all()
    policies = ("route", "chain", "hedge", *NAMES)
    assert all(found[name].speed.value < found[ORACLE].speed.value for name in policies)
    assert found[ORACLE].speed.value < found[ALL_KNOWING].speed.value
    assert found[ORACLE].share.value == pytest.approx(1)
    assert found[judge.best].share.value == pytest.approx(0)
    assert found["plain"].mean_draft_len == 0


def test_hedge_pays_for_what_it_knows() -> None:
    """Catches: full information taken to be free."""
    known = drafters()
    judge = RouteJudge(texts(), known, routing_of(*NAMES))
    config = replace(known.config(routing_of(*NAMES)), route_by="hedge")
    rounds = [replay_routed(text, config) for text in texts()]
    drafting = sum(known.costs[turn.arm or 0].seconds([turn]) for each in rounds for turn in each)
    paid = sum(each.seconds for each in judge.play(config))
    assert paid == pytest.approx(drafting + sum(map(len, rounds)) * 0.13)


def test_the_drafter_to_beat_may_be_found_elsewhere() -> None:
    known = drafters()
    judge = RouteJudge(texts(), known, routing_of(*NAMES), best="ngram")
    assert judge.best == "ngram"
    with pytest.raises(ConfigError, match="best must be one of model, ngram, got 'small'"):
        RouteJudge(texts(), known, routing_of(*NAMES), best="small")


def test_nothing_is_learned_from_no_text() -> None:
    with pytest.raises(ConfigError, match="texts must be at least one"):
        learn_routing([], drafters())
