"""The calibrated strategy: its tables looked up, its state, and what it does online."""

import dataclasses
from collections.abc import Callable

import pytest

from smart_speed.config import EntropyConfig
from smart_speed.entropy import LawFacts
from smart_speed.errors import ConfigError
from smart_speed.records import RoundRecord
from smart_speed.stopping.base import DraftView, SendingStrategy
from smart_speed.stopping.calibrated import Calibrated, CalibratedState, Calibration
from smart_speed.stopping.draft_value import best_thresholds
from tests.calibrations import ACCEPTANCE, CALIBRATION, COSTS, GROWING

STRATEGY = Calibrated(calibration=CALIBRATION)
ONLINE = Calibrated(calibration=CALIBRATION, online=True)
SURE, UNSURE = LawFacts(0.05, 0.99), LawFacts(2.5, 0.1)
Outcome = Callable[..., RoundRecord]


def drafted(*facts: LawFacts) -> DraftView:
    return DraftView(facts)


def test_both_questions_are_looked_up() -> None:
    table = best_thresholds(ACCEPTANCE, COSTS, CALIBRATION.price)
    laws = [LawFacts(0.8, prob) for prob in (0.2, 0.4, 0.55, 0.7, 0.85, 0.97)]
    state = STRATEGY.initial_state()
    answers = set()
    for first in laws:
        kind = ACCEPTANCE.class_of(first, state.recent)
        alive = ACCEPTANCE.accept_probs[kind]
        stop = STRATEGY.reason_to_stop(drafted(first), state)
        assert (stop is None) == (table.propose_from[0][kind] <= 1)
        send = STRATEGY.reason_to_send(drafted(first), state)
        assert (send is None) == (table.go_on_from[0][kind] <= alive)
        for second in laws:
            after = ACCEPTANCE.class_of(second, state.recent)
            stop = STRATEGY.reason_to_stop(drafted(first, second), state)
            assert (stop is None) == (table.propose_from[1][after] <= alive)
            answers |= {stop, send}
    assert answers == {None, "calibrated"}


def test_it_is_a_strategy_that_sends() -> None:
    assert isinstance(STRATEGY, SendingStrategy)


def test_sure_laws_are_drafted_and_unsure_ones_are_not() -> None:
    state = STRATEGY.initial_state()
    assert STRATEGY.reason_to_stop(drafted(SURE, SURE), state) is None
    assert STRATEGY.reason_to_send(drafted(SURE), state) is None
    assert STRATEGY.reason_to_stop(drafted(UNSURE), state) == "calibrated"
    assert STRATEGY.reason_to_send(drafted(SURE, UNSURE), state) == "calibrated"


def test_past_the_longest_draft_nothing_is_proposed() -> None:
    state = STRATEGY.initial_state()
    long = drafted(*[SURE] * (COSTS.max_draft_len + 1))
    assert STRATEGY.max_len(state) == COSTS.max_draft_len
    assert STRATEGY.reason_to_stop(long, state) == "calibrated"
    assert STRATEGY.reason_to_send(drafted(*[SURE] * COSTS.max_draft_len), state) == "calibrated"


def test_where_nothing_was_accepted_of_late_it_does_not_draft_until_it_forgets(
    outcome: Outcome,
) -> None:
    dear = dataclasses.replace(CALIBRATION, rate=1.6, price=1.6)
    strategy = Calibrated(calibration=dear)
    state = strategy.initial_state()
    assert strategy.max_len(CalibratedState(recent=0.99)) > 0
    for _ in range(20):
        state = strategy.after_round(state, outcome(drafted=2, accepted=0))
    assert strategy.max_len(state) == 0
    assert STRATEGY.max_len(CalibratedState(recent=0.0)) == 0
    state = CalibratedState(recent=0.0)
    for _ in range(60):
        state = STRATEGY.after_round(state, outcome(drafted=0, accepted=0))
    assert STRATEGY.max_len(state) > 0


def test_offline_nothing_but_recent_acceptance_is_remembered(outcome: Outcome) -> None:
    before = STRATEGY.initial_state()
    after = STRATEGY.after_round(before, outcome(drafted=3, accepted=3))
    assert after == dataclasses.replace(before, recent=after.recent)
    assert after.recent > before.recent


def test_after_long_texts_the_tables_are_those_of_their_costs(outcome: Outcome) -> None:
    """Catches: costs of a short context used after a long one, a price that is not scaled."""
    strategy = Calibrated(calibration=GROWING)
    state = strategy.initial_state()
    assert strategy.octave_of(5) == 0
    long = dataclasses.replace(outcome(drafted=1, accepted=0), context_len=31)
    after = strategy.after_round(state, long)
    assert after.octave == strategy.octave_of(32) == 3
    here = GROWING.with_costs(GROWING.costs.at(32))
    assert here.rate < GROWING.rate
    plain = Calibrated(calibration=here)
    laws = [LawFacts(0.8, at / 40) for at in range(1, 40)]
    for law in laws:
        draft = drafted(law)
        assert strategy.reason_to_stop(draft, after) == plain.reason_to_stop(draft, after)
        assert strategy.reason_to_send(draft, after) == plain.reason_to_send(draft, after)
    assert Calibrated(calibration=CALIBRATION).after_round(state, long).octave == 0


def test_where_wide_passes_grow_dear_drafts_grow_short(outcome: Outcome) -> None:
    dear = dataclasses.replace(GROWING.costs, plain_context_s=0.0, wider_context_s=(0.3,) * 8)
    strategy = Calibrated(calibration=dataclasses.replace(GROWING, costs=dear))
    state = strategy.initial_state()
    assert strategy.max_len(state) > 0
    long = dataclasses.replace(outcome(drafted=0, accepted=0), context_len=64)
    assert strategy.max_len(dataclasses.replace(strategy.after_round(state, long), recent=1.0)) == 0


def test_online_seconds_are_those_of_the_context(outcome: Outcome) -> None:
    strategy = Calibrated(calibration=GROWING, online=True)
    state = dataclasses.replace(strategy.initial_state(), octave=3, tokens=0.0, seconds=0.0)
    after = strategy.after_round(state, outcome(drafted=2, accepted=2))
    assert after.seconds == pytest.approx(GROWING.costs.at(32).seconds(2, 2))


def test_online_scores_follow_surprises(outcome: Outcome) -> None:
    state = ONLINE.initial_state()
    better = ONLINE.after_round(state, outcome(drafted=4, accepted=4))
    worse = ONLINE.after_round(state, outcome(drafted=4, accepted=0))
    assert better.shift > 0 > worse.shift
    # Four tokens were tested where all were accepted, one where none was.
    kind = ACCEPTANCE.class_of(LawFacts(0.5, 0.5), state.recent)
    share = ACCEPTANCE.accept_probs[kind]
    assert better.shift / worse.shift == pytest.approx(4 * (1 - share) / -share)
    assert ONLINE.after_round(state, outcome(drafted=0, accepted=0)).shift == 0


def test_online_the_rate_is_that_of_late(outcome: Outcome) -> None:
    state = ONLINE.initial_state()
    assert state.tokens / state.seconds == pytest.approx(CALIBRATION.rate)
    for _ in range(400):
        state = ONLINE.after_round(state, outcome(drafted=2, accepted=2))
    seconds = COSTS.seconds(2, 2)
    assert state.tokens / state.seconds == pytest.approx(3 / seconds, rel=0.01)


def test_online_a_faster_text_makes_seconds_dearer(outcome: Outcome) -> None:
    slow, fast = ONLINE.initial_state(), ONLINE.initial_state()
    for _ in range(300):
        slow = ONLINE.after_round(slow, outcome(drafted=1, accepted=0))
        fast = ONLINE.after_round(fast, outcome(drafted=2, accepted=2))
    laws = [LawFacts(0.5, at / 50) for at in range(1, 50)]

    def sent(state: CalibratedState) -> int:
        same = dataclasses.replace(state, recent=0.5, shift=0.0)
        return sum(ONLINE.reason_to_send(drafted(law), same) is not None for law in laws)

    assert sent(slow) < sent(fast)


def test_without_a_calibration_it_says_where_to_get_one() -> None:
    with pytest.raises(ConfigError, match="smart-speed calibrate"):
        EntropyConfig(strategy="calibrated")


def test_configuration_survives_json() -> None:
    config = EntropyConfig(strategy="calibrated", calibration=CALIBRATION, max_draft_len=8)
    resolved = config.resolved()
    again = EntropyConfig.from_dict(
        {key: resolved[key] for key in ("strategy", "calibration", "max_draft_len")}
    )
    assert again == config
    with pytest.raises(ConfigError, match="Unknown key"):
        EntropyConfig.from_dict({"strategy": "calibrated", "calibration": {"speed": 1}})


@pytest.mark.parametrize("name", ["rate", "price"])
def test_a_rate_is_positive(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be above 0"):
        Calibration.from_json(CALIBRATION.to_json() | {name: 0.0})
