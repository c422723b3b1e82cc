"""Thresholds against the optimal policy, found by recursion over every possible draft."""

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest

from smart_speed.errors import ConfigError
from smart_speed.stopping.acceptance import AcceptanceModel
from smart_speed.stopping.draft_value import (
    NEVER,
    RoundCosts,
    achievable_rate,
    best_thresholds,
)
from tests.calibrations import ACCEPTANCE, COSTS, GROWING

SHORT = dataclasses.replace(COSTS, wider_s=COSTS.wider_s[:4])
STEEP = RoundCosts(plain_s=1.0, step_s=0.3, first_step_extra_s=0.1, wider_s=(0.5, 0.0, 0.4, -0.1))
FREE = RoundCosts(plain_s=1.0, step_s=0.0, first_step_extra_s=0.0, wider_s=(0.0,) * 4)


def value(
    model: AcceptanceModel, costs: RoundCosts, rate: float, survivals: tuple[float, ...], kind: int
) -> tuple[float, float, float]:
    """Return, for a draft whose latest law is of a class: the net gain still to be had by
    proposing its token, by that alone, and by going on after it."""

    @cache
    def gains(position: int, survival: float, kind: int) -> tuple[float, float, float]:
        alive = survival * model.accept_probs[kind]
        alone = alive - rate * costs.wider_s[position]
        further = -rate * costs.step_s
        if position + 1 == costs.max_draft_len:
            further = -1.0
        else:
            for after, prob in enumerate(model.next_probs[kind]):
                further += prob * max(gains(position + 1, alive, after)[0], 0.0)
        return alone + max(further, 0.0), alone, further

    return gains(len(survivals), float(np.prod(survivals)), kind)


@pytest.mark.parametrize("costs", [SHORT, STEEP], ids=["short", "steep"])
@pytest.mark.parametrize("rate", [0.8, 1.2, 1.7])
def test_decisions_are_those_of_the_optimal_policy(costs: RoundCosts, rate: float) -> None:
    found = best_thresholds(ACCEPTANCE, costs, rate)
    rng = np.random.default_rng(0)
    decided = {True: 0, False: 0}
    for _ in range(300):
        position, kind = int(rng.integers(costs.max_draft_len)), int(rng.integers(5))
        survivals = tuple(rng.uniform(0.3, 1, size=position).tolist())
        survival = float(np.prod(survivals))
        proposing, _, further = value(ACCEPTANCE, costs, rate, survivals, kind)
        if abs(proposing) > 0.005:  # between two of the survivals where values are worked out
            assert (survival >= found.propose_from[position][kind]) == (proposing > 0)
            decided[proposing > 0] += 1
        if position + 1 < costs.max_draft_len and abs(further) > 0.005:
            alive = survival * ACCEPTANCE.accept_probs[kind]
            assert (alive >= found.go_on_from[position][kind]) == (further > 0)
            decided[further > 0] += 1
    assert min(decided.values()) > 50


def test_gain_is_that_of_the_first_law_less_its_pass() -> None:
    found = best_thresholds(ACCEPTANCE, SHORT, 1.2)
    for kind, probs in enumerate(ACCEPTANCE.first_probs):
        gain = -1.2 * (SHORT.step_s + SHORT.first_step_extra_s)
        for first, prob in enumerate(probs):
            gain += prob * max(value(ACCEPTANCE, SHORT, 1.2, (), first)[0], 0.0)
        assert found.gain[kind] == pytest.approx(gain, abs=0.003)


def test_where_drafting_is_free_everything_is_drafted() -> None:
    found = best_thresholds(ACCEPTANCE, FREE, 1.0)
    assert max(max(row) for row in (*found.propose_from, *found.go_on_from)) < 0.011
    assert min(found.gain) > 0


def test_where_it_is_dear_nothing_is() -> None:
    found = best_thresholds(ACCEPTANCE, SHORT, 40.0)
    assert {least for row in found.propose_from for least in row} == {NEVER}
    assert max(found.gain) < 0


@pytest.mark.parametrize("costs", [SHORT, STEEP, FREE], ids=["short", "steep", "free"])
def test_a_round_at_the_achievable_rate_gains_nothing(costs: RoundCosts) -> None:
    rate = achievable_rate(ACCEPTANCE, costs)
    gain = np.mean([max(each, 0.0) for each in best_thresholds(ACCEPTANCE, costs, rate).gain])
    assert 1 + gain == pytest.approx(rate * costs.plain_s, rel=2e-3)
    assert rate >= 1 / costs.plain_s


def test_cheaper_rounds_are_faster() -> None:
    rates = [achievable_rate(ACCEPTANCE, costs) for costs in (STEEP, SHORT, FREE)]
    assert rates == sorted(rates)
    assert rates[0] < rates[-1]


@pytest.mark.parametrize(
    ("field", "wrong", "rule"),
    [
        ("plain_s", 0.0, "above 0"),
        ("step_s", -1.0, "at least 0"),
        ("wider_s", (float("nan"),), "finite seconds"),
        ("plain_context_s", float("inf"), "finite seconds"),
        ("wider_context_s", (0.1,), "none, or the 8 of wider_s"),
    ],
)
def test_costs_that_cannot_be_are_refused(field: str, wrong: Any, rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        dataclasses.replace(COSTS, **{field: wrong})


def test_after_a_longer_context_every_part_takes_longer() -> None:
    costs = GROWING.costs
    further = costs.at(24)
    assert further.seconds(0, 0) == pytest.approx(1.0 + 20 * 0.05)
    parts = 20 * (0.05 + 3 * 0.01 + 2 * 0.02)
    assert further.seconds(3, 2) == pytest.approx(costs.seconds(3, 2) + parts)
    assert further.at(4).seconds(3, 2) == pytest.approx(costs.seconds(3, 2))
    assert costs.grow
    assert not COSTS.grow
    assert COSTS.at(1000).seconds(3, 2) == COSTS.seconds(3, 2)


def test_costs_survive_json() -> None:
    for costs in (COSTS, GROWING.costs):
        assert RoundCosts.from_json(costs.to_json()) == costs
    assert COSTS.seconds(0, 0) == COSTS.plain_s
    assert COSTS.seconds(3, 2) == pytest.approx(1.0 + 0.36 + 0.03 + 0.35)
