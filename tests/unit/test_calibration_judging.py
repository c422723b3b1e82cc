"""Speeds and shares of two texts, counted on paper.

COSTS make a round that drafts 0, 1 or 2 tokens take 1, 1.35 or 1.7 s. Text "a" is right, right,
wrong, right, right; text "b", of four tokens, is always wrong.

    policy      a                              b
    plain       5 x 1 = 5                      4 x 1 = 4
    fixed-1     3 x 1.35 = 4.05                3 x 1.35 + 1 = 5.05
    fixed-2     1.7 + 1.35 = 3.05              2 x 1.7 + 1.35 + 1 = 5.75
    oracle      1.7 + 1.35 = 3.05              4
"""

import json
import math

import pytest

from smart_speed.calibration.judging import Judge
from smart_speed.config import EntropyConfig
from smart_speed.errors import ConfigError
from smart_speed.tracing.prepared import PreparedTrace
from tests.unit.planted import COSTS, planted_trace, toy_texts
from tests.unit.traced import costs_of

TEXTS = [
    PreparedTrace(planted_trace([True, True, False, True, True], task="a", prompt_id="a/0")),
    PreparedTrace(planted_trace([False] * 4, task="b", prompt_id="b/0")),
]
PLAIN_S, FIXED_1_S, FIXED_2_S, ORACLE_S = (5, 4), (4.05, 5.05), (3.05, 5.75), (3.05, 4)


def fixed(length: int) -> EntropyConfig:
    return EntropyConfig(strategy="fixed", max_draft_len=length)


def test_the_best_fixed_length_is_found_in_hindsight() -> None:
    judge = Judge(TEXTS, COSTS)
    assert judge.fixed_len == 2  # 8.8 s against 9.1
    assert judge.lens == [1, 2]
    assert judge.best_fixed_by_task() == {"a": 2, "b": 1}


def test_speeds_and_shares_by_hand() -> None:
    """Catches: sums over tasks in place of means of tasks; seconds shared out in place of rates."""
    found = Judge(TEXTS, COSTS, fixed_len=1).judge(fixed(2))
    assert found.speed_by_task == pytest.approx({"a": 5 / 3.05, "b": 4 / 5.75})
    assert found.speed.value == pytest.approx((5 / 3.05 + 4 / 5.75) / 2)
    over = {"a": 4.05 / 3.05, "b": 5.05 / 5.75}
    assert found.over_fixed_by_task == pytest.approx(over)
    assert found.over_fixed.value == pytest.approx(sum(over.values()) / 2)
    share_b = (1 / 5.75 - 1 / 5.05) / (1 / 4 - 1 / 5.05)
    assert found.share_by_task == pytest.approx({"a": 1.0, "b": share_b})
    assert found.share.value == pytest.approx((1 + share_b) / 2)


def test_counts_by_hand() -> None:
    found = Judge(TEXTS, COSTS).judge(fixed(2))
    assert found.mean_draft_len == pytest.approx(8 / 6)
    assert found.acceptance_rate == pytest.approx(3 / 8)
    assert found.passes_per_token == pytest.approx(8 / 9)
    assert found.emitted_per_round == pytest.approx(9 / 6)


def test_the_seconds_of_each_text() -> None:
    judge = Judge(TEXTS, COSTS)
    for config, seconds in (
        (EntropyConfig(strategy="plain"), PLAIN_S),
        (fixed(1), FIXED_1_S),
        (fixed(2), FIXED_2_S),
    ):
        totals = judge.play(config)
        assert [each.seconds for each in totals] == pytest.approx(seconds)
        assert [each.tokens for each in totals] == [5, 4]
    best = judge.oracle()
    expected = {
        task: plain / seconds for task, plain, seconds in zip("ab", PLAIN_S, ORACLE_S, strict=True)
    }
    assert best.speed_by_task == pytest.approx(expected)


def test_a_fixed_length_from_elsewhere_is_what_shares_begin_at() -> None:
    """Catches: a length that is found on the test texts although one was given."""
    for length in (1, 2):
        judge = Judge(TEXTS, COSTS, fixed_len=length)
        assert judge.fixed_len == length
        own = judge.judge(fixed(length))
        assert own.over_fixed_by_task == pytest.approx({"a": 1.0, "b": 1.0})
        assert own.share_by_task["b"] == pytest.approx(0.0)
        assert judge.oracle().share_by_task["b"] == pytest.approx(1.0)


def test_where_there_is_no_gap_there_is_no_share() -> None:
    found = Judge(TEXTS, COSTS, fixed_len=2).judge(fixed(1))
    assert math.isinf(found.share_by_task["a"])
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["share_by_task"]["a"] is None
    assert document["share_by_task"]["b"] is not None
    plain = Judge(TEXTS, COSTS).judge(EntropyConfig(strategy="plain"))
    assert plain.to_json()["acceptance_rate"] is None


def test_intervals_hold_the_figure() -> None:
    judge = Judge(toy_texts(), costs_of(0.1))
    found = judge.judge(EntropyConfig(strategy="absolute", theta_abs=1.5))
    for figure in (found.speed, found.share, found.over_fixed):
        assert figure.low < figure.value < figure.high
    alone = Judge(TEXTS, COSTS).judge(fixed(1)).speed
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(ConfigError, match="texts must be at least one, got 0"):
        Judge([], COSTS)
    for length in (-1, 0, 3):
        with pytest.raises(ConfigError, match=f"fixed_len must be 1 to 2, .*, got {length}"):
            Judge(TEXTS, COSTS, fixed_len=length)


def test_an_oracle_that_chooses_takes_the_better_drafter_for_each_round() -> None:
    judge = Judge(TEXTS, COSTS, fixed_len=1)
    better = [
        PreparedTrace(planted_trace([False] * 5, task="a", prompt_id="a/0")),
        PreparedTrace(planted_trace([True] * 4, task="b", prompt_id="b/0")),
    ]
    alone, with_itself = judge.oracle(), judge.oracle_choice([(TEXTS, COSTS)])
    assert with_itself.speed_by_task == pytest.approx(alone.speed_by_task)
    chosen = judge.oracle_choice([(better[::-1], COSTS)])
    assert chosen.speed_by_task["a"] == pytest.approx(alone.speed_by_task["a"])
    own = Judge(better, COSTS, fixed_len=1).oracle()
    assert chosen.speed_by_task["b"] == pytest.approx(own.speed_by_task["b"])
    assert chosen.speed_by_task["b"] > alone.speed_by_task["b"]


def test_an_oracle_chooses_among_drafters_of_the_same_texts() -> None:
    with pytest.raises(ConfigError, match="traces must be of every drafter for 'b/0'"):
        Judge(TEXTS, COSTS, fixed_len=1).oracle_choice([(TEXTS[:1], COSTS)])
