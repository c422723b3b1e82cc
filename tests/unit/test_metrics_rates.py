"""Counts of rounds and what is made of them."""

import math

import pytest

from smart_speed.metrics import rates
from smart_speed.records import RoundRecord
from tests.unit.answered import record, turn


def test_nothing_drafted_leaves_rates_open() -> None:
    plain = [record(turn(), turn())]
    assert math.isnan(rates.acceptance_rate(plain))
    assert math.isnan(rates.wasted_passes(plain).share)
    assert rates.mean_emitted_len(plain) == 1.0
    assert rates.draft_len_counts(plain) == [2]
    assert rates.draft_len_counts([]) == []


def test_failures_carry_no_numbers() -> None:
    failed = record(turn(4, 4), error="no")
    assert rates.rounds_of([failed]) == []
    assert rates.drafter_passes([failed, record(turn(2, 1))]) == 2


@pytest.mark.parametrize(
    ("round_", "unproposed", "rejected"),
    [
        (turn(3, 3), 0, 0),
        (turn(3, 1), 0, 2),
        (turn(2, 2, entropies_nats=(0.1, 0.2, 3.0)), 1, 0),
        (turn(0, 0, entropies_nats=(3.0,)), 1, 0),
        (turn(4, 2, emitted=2), 0, 2),
    ],
    ids=["all kept", "rejected", "stopped before", "empty draft", "text ended inside"],
)
def test_wasted_passes(round_: RoundRecord, unproposed: int, rejected: int) -> None:
    found = rates.wasted_passes([record(round_)])
    assert (found.num_unproposed, found.num_rejected) == (unproposed, rejected)
    passes = len(round_.entropies_nats)
    assert found.num_passes == passes
    assert found.share == (passes - round_.accepted_len) / passes


def test_a_rate_of_many_is_that_of_one_long_sequence() -> None:
    rounds = [turn(4, 1), turn(2, 2), turn(0, 0), turn(6, 5)]
    apart, together = [record(each) for each in rounds], [record(*rounds)]
    for rate in (rates.acceptance_rate, rates.mean_emitted_len, rates.mean_draft_len):
        assert rate(apart) == rate(together)


def test_reasons_are_counted_with_the_most_frequent_first() -> None:
    rounds = [turn(stop_reason=reason) for reason in ("budget", "absolute", "absolute")]
    counts = rates.stop_reason_counts([record(*rounds)])
    assert list(counts.items()) == [("absolute", 2), ("budget", 1)]
    assert rates.finish_reason_counts([record(), record(error="no")]) == {"length": 1}
