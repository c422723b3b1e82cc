"""What measured seconds become."""

import math

import numpy as np
import pytest

from smart_speed.metrics import seconds
from tests.unit.answered import record, turn


def test_seconds_per_token_are_the_other_way_round() -> None:
    records = [record(turn(), turn(), decode_s=4.0), record(turn(), decode_s=1.0)]
    assert seconds.tokens_per_decode_s(records) == 3 / 5
    assert seconds.time_per_output_token_s(records) == 5 / 3


def test_first_token_comes_with_its_round() -> None:
    records = [
        record(turn(2, 2, round_s=1.5), turn(round_s=9.0), prefill_s=0.5),
        record(prefill_s=7.0),
        record(turn(), error="no"),
    ]
    assert seconds.times_to_first_token_s(records) == [2.0]


def test_shares_add_up() -> None:
    one = turn(1, 1, drafter_s=0.25, verifier_s=0.5, entropy_s=0.125, strategy_s=0.0625)
    records = [record(one)]
    assert seconds.drafter_share(records) == 0.25
    assert seconds.verifier_share(records) == 0.5
    assert seconds.overhead_share(records) == 0.25
    assert seconds.entropy_share(records) == 0.125
    assert seconds.strategy_share(records) == 0.0625


def test_quantiles_between_values() -> None:
    assert tuple(seconds.quantiles([4.0, 2.0, 3.0, 1.0])) == pytest.approx((2.5, 3.7, 3.97))
    assert seconds.quantiles([5.0]) == (5.0, 5.0, 5.0)


def test_quantiles_of_nothing_are_null() -> None:
    assert all(map(math.isnan, seconds.quantiles([])))
    assert seconds.quantiles([]).to_json() == {"p50": None, "p90": None, "p99": None}


def test_quantiles_do_not_fall(generator: np.random.Generator) -> None:
    found = seconds.quantiles(generator.exponential(size=57).tolist())
    assert found.p50 < found.p90 < found.p99
