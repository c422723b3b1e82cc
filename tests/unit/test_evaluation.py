"""Figures from records, and how sure of them one may be."""

import dataclasses
import json
import math
from collections.abc import Callable

import numpy as np
import pytest

from smart_speed.evaluation import (
    Interval,
    bootstrap,
    bootstrap_mean,
    mean_speedup,
    ratio_of_medians,
    speedup,
)
from smart_speed.records import RoundRecord, SequenceRecord


def quotient(sums: np.ndarray) -> np.ndarray:
    found: np.ndarray = sums[..., 0] / sums[..., 1]
    return found


def known(interval: Interval) -> list[bool]:
    return [math.isfinite(value) for value in interval]


@pytest.fixture
def record(outcome: Callable[..., RoundRecord]) -> Callable[..., SequenceRecord]:
    def build(prompt_id: str, *, decode_s: float, output_len: int = 10) -> SequenceRecord:
        return SequenceRecord(
            condition="test",
            prompt_id=prompt_id,
            seed=0,
            status="ok",
            lossless=True,
            engine="toy",
            prompt_len=3,
            reused_len=0,
            output_len=output_len,
            finish_reason="length",
            prefill_s=0.0,
            decode_s=decode_s,
            rounds=(outcome(drafted=1, accepted=1),),
        )

    return build


def test_tables_count_the_same_whatever_their_length() -> None:
    short, long = np.array([[1.0, 2.0]] * 2), np.array([[9.0, 10.0]] * 50)
    assert bootstrap_mean([short, long], quotient) == Interval(0.7, 0.7, 0.7)


def test_one_table_is_the_bootstrap(generator: np.random.Generator) -> None:
    table = generator.random((20, 2)) + 1
    alone = bootstrap(table, quotient)
    assert alone == bootstrap_mean([table], quotient)
    assert alone.low < alone.value < alone.high


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], [False, False, False]),
        ([0, 5], [False, False, False]),
        ([1, 5], [True, False, False]),
        ([2, 5], [True, True, True]),
    ],
)
def test_too_few_rows_leave_the_interval_open(rows: list[int], expected: list[bool]) -> None:
    assert known(bootstrap_mean([np.ones((count, 2)) for count in rows], quotient)) == expected


def test_interval_covers_the_truth_as_often_as_it_says(generator: np.random.Generator) -> None:
    covered = 0
    for _ in range(200):
        # Shares of prompts of unlike lengths, of two tasks whose true shares are 0.3 and 0.7.
        tables = []
        for share in (0.3, 0.7):
            lens = generator.integers(20, 100, size=40)
            own = np.clip(generator.normal(share, 0.1, size=40), 0, 1)
            tables.append(np.stack([generator.binomial(lens, own), lens], axis=1).astype(float))
        interval = bootstrap_mean(tables, quotient, 500)
        covered += interval.low <= 0.5 <= interval.high
    assert 0.9 <= covered / 200 <= 0.99


def test_ratio_of_medians_is_not_moved_by_an_interruption() -> None:
    above = [2.0] * 20 + [1000.0]
    assert ratio_of_medians(above, [4.0] * 21) == Interval(0.5, 0.5, 0.5)


def test_ratio_of_medians_keeps_pairs_together() -> None:
    """A machine that slows down slows both: each pair's quotient is the same, so is theirs."""
    below = np.linspace(1, 3, 41)
    ratio = ratio_of_medians((below / 4).tolist(), below.tolist())
    np.testing.assert_allclose(ratio, 0.25)


@pytest.mark.parametrize(("count", "expected"), [(0, [False] * 3), (1, [True, False, False])])
def test_ratio_of_few(count: int, expected: list[bool]) -> None:
    assert known(ratio_of_medians([1.0] * count, [2.0] * count)) == expected


def test_mean_speedup_averages_tasks(record: Callable[..., SequenceRecord]) -> None:
    fast = [record(f"fast/{at}", decode_s=1.0) for at in range(3)]
    slow = [record(f"slow/{at}", decode_s=2.0) for at in range(9)]
    plain = [dataclasses.replace(each, decode_s=2.0) for each in [*fast, *slow]]
    assert speedup([*fast, *slow], plain).value == pytest.approx(24 / 21)
    mean = mean_speedup([(fast, plain[:3]), (slow, plain[3:])])
    np.testing.assert_allclose(mean, 1.5)


def test_what_is_not_known_is_null() -> None:
    document = Interval(1.5, float("nan"), float("inf")).to_json()
    assert json.dumps(document) == '{"value": 1.5, "low": null, "high": null}'
