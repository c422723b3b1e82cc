"""Which positions were tested, and what became of them."""

import math

import numpy as np
import pytest

from smart_speed.metrics.positions import (
    ENTROPY_EDGES_NATS,
    PROB_EDGES,
    acceptance_by_position,
    calibration_error,
    judged_len,
    judged_tokens,
    share_by_bin,
)
from smart_speed.records import RoundRecord
from tests.unit.answered import record, turn


@pytest.mark.parametrize(
    ("round_", "expected"),
    [
        (turn(4, 4), 4),
        (turn(4, 0), 1),
        (turn(4, 2), 3),
        (turn(0, 0, entropies_nats=(2.0,)), 0),
        (turn(2, 1, entropies_nats=(0.1, 0.2, 2.0)), 2),
        (turn(4, 2, emitted=2), 2),
        (turn(4, 3, emitted=4), 4),
    ],
    ids=["all", "none", "some", "empty", "stopped before", "ended inside", "ended with its own"],
)
def test_tested_len(round_: RoundRecord, expected: int) -> None:
    assert judged_len(round_) == expected


def test_positions_behind_a_rejection_are_missing() -> None:
    records = [record(turn(3, 0), turn(3, 1)), record(turn(3, 3), turn(1, 1))]
    found = [(each.num_tested, each.num_accepted) for each in acceptance_by_position(records)]
    assert found == [(4, 3), (2, 1), (1, 1)]


def test_a_text_that_ends_inside_a_draft_rejects_nothing() -> None:
    assert [each.share for each in acceptance_by_position([record(turn(4, 2, emitted=2))])] == [
        1.0, 1.0,
    ]  # fmt: skip


def test_longer_drafts_do_not_change_a_known_curve(generator: np.random.Generator) -> None:
    """Acceptance .8, .6, .4 by position; over all rounds as denominator it would fall with k."""
    curve = np.array([0.8, 0.6, 0.4])
    shares = []
    for longest in (2, 3):
        passed = generator.random((4000, longest)) < curve[:longest]
        accepted = passed.cumprod(axis=1).sum(axis=1)
        found = acceptance_by_position([record(*(turn(longest, int(each)) for each in accepted))])
        shares.append([each.share for each in found])
    np.testing.assert_allclose(shares[0], curve[:2], atol=0.03)
    np.testing.assert_allclose(shares[1], curve, atol=0.03)


def test_judged_tokens_keep_their_prompt() -> None:
    first = [record(turn(2, 1, entropies_nats=(0.1, 0.2), top_probs=(0.9, 0.8)))]
    chat = [record(turn(1, 1, entropies_nats=(0.3,))), record(turn(3, 0))]
    tokens = judged_tokens([first, [record(turn())], chat])
    assert tokens.num_prompts == 3
    assert tokens.prompt_index.tolist() == [0, 0, 2, 2]
    assert tokens.entropy_nats.tolist() == [0.1, 0.2, 0.3, 0.5]
    assert tokens.top_prob.tolist() == [0.9, 0.8, 0.5, 0.5]
    assert tokens.accepted.tolist() == [True, False, True, False]


def test_bins_hold_every_token_once(generator: np.random.Generator) -> None:
    values = np.append(generator.exponential(size=500), ENTROPY_EDGES_NATS[:-1])
    accepted = generator.random(len(values)) < np.exp(-values)
    bins = share_by_bin(values, accepted, ENTROPY_EDGES_NATS)
    assert sum(each.num_tested for each in bins) == len(values)
    assert sum(each.num_accepted for each in bins) == accepted.sum()
    for each in bins:
        assert each.low <= each.mean_value < each.high


def test_edges_belong_to_the_bin_above_but_the_last() -> None:
    bins = share_by_bin(np.array([0.0, 0.9, 1.0]), np.array([True, False, True]), PROB_EDGES)
    assert [each.num_tested for each in bins] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert bins[-1].share == 0.5
    assert bins[1].to_json() == {
        "low": 0.1, "high": 0.2, "num_tested": 0, "num_accepted": 0, "mean_value": None,
        "share": None,
    }  # fmt: skip


def test_calibration_error_by_hand() -> None:
    values = np.array([0.75, 0.75, 0.25, 0.25])
    bins = share_by_bin(values, np.array([True, True, True, False]), PROB_EDGES)
    assert calibration_error(bins) == 0.25  # 1 instead of .75, and .5 instead of .25
    assert math.isnan(calibration_error([]))
