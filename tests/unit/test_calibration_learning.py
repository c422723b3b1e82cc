"""From a model of acceptance and costs to a rate that replay confirms."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from smart_speed.calibration.fitting import fit_acceptance
from smart_speed.calibration.learning import (
    calibrated_config,
    learn_calibration,
    replayed_rate,
    round_costs,
)
from smart_speed.calibration.samples import all_samples
from smart_speed.config import EntropyConfig
from smart_speed.errors import ConfigError
from smart_speed.stopping.acceptance import AcceptanceModel
from smart_speed.stopping.calibrated import Calibration
from smart_speed.stopping.draft_value import RoundCosts, achievable_rate
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.oracle import best_fixed
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.replay import replay
from tests.calibrations import CALIBRATION
from tests.unit.planted import COSTS, planted_trace, toy_texts
from tests.unit.traced import LONGEST, costs_of

TEXTS = toy_texts()[:6]
CHEAP, DEAR = costs_of(0.1), costs_of(4.0)


@cache
def fitted() -> AcceptanceModel:
    return fit_acceptance(all_samples(TEXTS))


def learned(costs: CostModel) -> Calibration:
    return learn_calibration(TEXTS, fitted(), costs, max_draft_len=LONGEST)


def test_costs_of_a_round_are_the_cost_models() -> None:
    short = round_costs(CHEAP, LONGEST)
    assert short.max_draft_len == LONGEST
    for draft_len in range(LONGEST + 1):
        for num_passes in (draft_len, draft_len + 1):
            expected = CHEAP.round_s(num_passes, draft_len)
            assert short.seconds(num_passes, draft_len) == pytest.approx(expected)
    with pytest.raises(ConfigError, match="width must be 1 to 20"):
        round_costs(CHEAP, 20)


def test_the_rate_is_what_replay_finds() -> None:
    """Catches: a rate of another price, or of another configuration than the one that decodes."""
    found = learned(CHEAP)
    rate = replayed_rate(TEXTS, calibrated_config(found), CHEAP)
    assert rate == pytest.approx(found.rate, rel=0.01)
    fixed = best_fixed([*TEXTS], CHEAP, range(1, LONGEST + 1))
    assert rate > sum(each.output_len for each in TEXTS) / fixed.seconds
    for price in (0.5 * found.price, 2 * found.price):
        other = replace(found, price=price)
        assert replayed_rate(TEXTS, calibrated_config(other), CHEAP) <= rate


def test_where_drafting_never_pays_nothing_is_drafted() -> None:
    found = learned(DEAR)
    config = calibrated_config(found)
    rounds = [turn for each in TEXTS for turn in replay(each, config)]
    assert {turn.num_passes for turn in rounds} == {0}
    plain = replayed_rate(TEXTS, EntropyConfig(strategy="plain"), DEAR)
    assert found.rate == pytest.approx(plain)


def test_where_drafts_cost_nothing_they_are_long() -> None:
    free = CostModel(drafter_step_s=0.0, verifier_pass_s={1: 1.0, LONGEST + 1: 1.0})
    config = calibrated_config(learned(free))
    rounds = [turn for each in TEXTS for turn in replay(each, config)]
    budgets = [turn for turn in rounds if turn.stop_reason in ("max_draft_len", "budget", "eos")]
    assert len(budgets) > 0.9 * len(rounds)


def test_first_laws_are_counted_under_the_policy_itself() -> None:
    """Catches: first laws of all positions alike; those after a round's recent acceptance."""
    model = fitted()
    found = learned(CHEAP)
    config = calibrated_config(replace(found, acceptance=model))
    counts = np.ones((len(model.first_probs), len(model.accept_probs)))
    for text in TEXTS:
        recent, position = model.recent_start, 0
        for turn in replay(text, config):
            kind = model.kind_of_round(recent)
            counts[kind, model.class_of(text.facts("shannon")[text.roots[position]], recent)] += 1
            recent = model.recent_after(
                recent, accepted_len=turn.accepted_len, draft_len=turn.draft_len
            )
            position += turn.emitted_len
    expected = counts / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.acceptance.first_probs, expected)
    assert found.acceptance.next_probs == model.next_probs


@pytest.mark.parametrize("step_s", [0.54, 0.58, 0.62])
def test_where_drafting_hardly_pays_replay_has_the_last_word(step_s: float) -> None:
    """Catches: a policy that was tried, changed, and kept unseen; it may draft nothing at all."""
    costs = costs_of(step_s)
    found = learned(costs)
    at_rate = replace(found, acceptance=fitted(), begin_price=None)
    as_tried = replace(at_rate, begin_price=found.price)
    rate, *others = (
        replayed_rate(TEXTS, calibrated_config(each), costs) for each in (found, at_rate, as_tried)
    )
    assert rate >= max(others)
    assert rate > 1.01 * replayed_rate(TEXTS, EntropyConfig(strategy="plain"), costs)


def test_costs_of_the_same_machine_change_nothing() -> None:
    same = CALIBRATION.with_costs(CALIBRATION.costs)
    assert (same.rate, same.price) == pytest.approx((CALIBRATION.rate, CALIBRATION.price))
    assert same.acceptance is CALIBRATION.acceptance


def test_a_machine_half_as_fast_decodes_half_as_fast() -> None:
    costs = CALIBRATION.costs
    slower = RoundCosts(
        plain_s=2 * costs.plain_s,
        step_s=2 * costs.step_s,
        first_step_extra_s=2 * costs.first_step_extra_s,
        wider_s=tuple(2 * each for each in costs.wider_s),
    )
    found = replace(CALIBRATION, begin_price=0.9).with_costs(slower)
    assert found.costs is slower
    halves = (CALIBRATION.rate / 2, CALIBRATION.price / 2, 0.45)
    assert (found.rate, found.price, found.begin_price) == pytest.approx(halves, rel=1e-3)


def test_a_rate_is_corrected_by_how_far_the_prediction_was_off() -> None:
    costs = CALIBRATION.costs
    wide = RoundCosts(
        plain_s=costs.plain_s,
        step_s=costs.step_s / 2,
        first_step_extra_s=0.0,
        wider_s=tuple(each / 4 for each in costs.wider_s),
    )
    found = CALIBRATION.with_costs(wide)
    predicted = achievable_rate(CALIBRATION.acceptance, costs)
    there = achievable_rate(CALIBRATION.acceptance, wide)
    assert there > predicted
    assert found.rate / there == pytest.approx(CALIBRATION.rate / predicted)
    assert found.price / found.rate == pytest.approx(CALIBRATION.price / CALIBRATION.rate)


def test_a_configuration_says_online_only_if_it_is() -> None:
    config = calibrated_config(CALIBRATION, "renyi", online=True)
    assert (config.online, config.entropy_type) == (True, "renyi")
    assert config.max_draft_len == CALIBRATION.costs.max_draft_len
    assert calibrated_config(CALIBRATION).online is None


def test_rates_add_seconds_up() -> None:
    texts = [PreparedTrace(planted_trace([True] * 4)), PreparedTrace(planted_trace([False] * 4))]
    # Two rounds of 1.35 s; then three of them and a plain one.
    config = EntropyConfig(strategy="fixed", max_draft_len=1)
    assert replayed_rate(texts, config, COSTS) == pytest.approx(8 / (2 * 1.35 + 3 * 1.35 + 1.0))
