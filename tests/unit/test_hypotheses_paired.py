"""Differences between two conditions, against examples by hand and against simulation."""

import math

import numpy as np
import pytest

from smart_speed.errors import ConfigError
from smart_speed.hypotheses.paired import (
    LogRatio,
    holm,
    holm_levels,
    log_ratio,
    log_ratios,
    paired_table,
    rank_biserial,
    speed_ratio,
    wilcoxon_p,
)
from smart_speed.hypotheses.power import detectable, prompts_needed
from tests.unit.judged_runs import timed


def table_of(ratio: float, num: int, spread: float, rng: np.random.Generator) -> np.ndarray:
    """Prompts of unlike lengths, of which the first condition answers each faster by a ratio."""
    lens = rng.integers(20, 100, size=num).astype(float)
    seconds, others = np.exp(spread * rng.normal(size=(2, num))) * lens
    return np.stack([lens, seconds / ratio, lens, others], axis=1)


def test_turns_of_a_prompt_are_one_row() -> None:
    ours = [timed("a", "p", 10, 1.0), timed("a", "p", 10, 2.0, turn=1), timed("a", "q", 10, 4.0)]
    theirs = [timed("b", "p", 10, 5.0), timed("b", "p", 10, 6.0, turn=1), timed("b", "r", 10, 7.0)]
    table = paired_table(ours, theirs)
    assert table.tolist() == [[20.0, 3.0, 20.0, 11.0]]
    np.testing.assert_allclose(log_ratios(table), [math.log(11 / 3)])


def test_holm_by_hand() -> None:
    p_values = [0.01, 0.04, 0.03, 0.005]
    np.testing.assert_allclose(holm(p_values), [0.03, 0.06, 0.06, 0.02])
    # Two are rejected, at a quarter and a third of the level; the others are held to a half.
    np.testing.assert_allclose(holm_levels(p_values), [0.05 / 3, 0.025, 0.025, 0.0125])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_levels_reject_what_corrected_p_values_do(generator: np.random.Generator) -> None:
    for _ in range(50):
        p_values = (generator.random(6) ** 3).tolist()
        by_level = [p <= level for p, level in zip(p_values, holm_levels(p_values), strict=True)]
        assert by_level == [p <= 0.05 for p in holm(p_values)]


def test_wilcoxon_by_hand() -> None:
    assert wilcoxon_p([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2 / 32)
    # Only the smallest is negative: of 16 signs, two have a rank sum of at most 1; twice that.
    assert wilcoxon_p([1.0, 2.0, 3.0, -0.5]) == pytest.approx(0.25)
    assert wilcoxon_p([0.0, 0.0]) == 1.0


def test_rank_biserial_by_hand() -> None:
    assert rank_biserial([1.0, 2.0, 3.0, -0.5]) == pytest.approx((9 - 1) / 10)
    assert rank_biserial([-1.0, -2.0]) == -1.0
    assert rank_biserial([0.0]) == 0.0


def test_corrected_interval_covers_as_often_as_it_says(generator: np.random.Generator) -> None:
    """Also with eight prompts, and far out in the tails, where percentiles would not."""
    missed = {0.05: 0, 0.01: 0}
    for _ in range(400):
        found = log_ratio(table_of(1.1, 8, 0.2, generator))
        for level in missed:
            interval = found.interval(level)
            missed[level] += not interval.low <= 1.1 <= interval.high
    assert 0.02 <= missed[0.05] / 400 <= 0.09
    assert missed[0.01] / 400 <= 0.025


def test_interval_and_p_value_agree(generator: np.random.Generator) -> None:
    found = log_ratio(table_of(1.2, 12, 0.1, generator))
    interval = found.interval(0.03)
    assert interval.value == pytest.approx(math.exp(found.value))
    assert found.p_value(interval.low) == pytest.approx(0.03)
    assert found.p_value(interval.high) == pytest.approx(0.03)
    assert found.p_value(interval.value) == pytest.approx(1.0)


def test_intervals_of_both_kinds_are_alike_with_many_prompts(
    generator: np.random.Generator,
) -> None:
    table = table_of(1.2, 200, 0.2, generator)
    np.testing.assert_allclose(speed_ratio(table), log_ratio(table).interval(0.05), rtol=0.01)


def test_no_spread_leaves_no_doubt() -> None:
    table = np.array([[10.0, 1.0, 10.0, 1.3]] * 3)
    found = log_ratio(table)
    assert found.value == pytest.approx(math.log(1.3))
    assert (found.error, found.freedom) == (0.0, 2)
    assert found.p_value(1.1) == 0.0
    assert LogRatio(0.0, 0.0, 2).p_value(1.0) == 1.0


def test_one_prompt_has_no_error() -> None:
    with pytest.raises(ConfigError, match="prompts must be at least 2"):
        log_ratio(np.ones((1, 4)))


@pytest.mark.parametrize("num_prompts", [6, 30])
def test_power_is_what_simulation_shows(num_prompts: int, generator: np.random.Generator) -> None:
    from scipy.stats import ttest_1samp  # type: ignore[import-untyped,unused-ignore]

    difference = detectable(0.2, num_prompts)
    samples = difference + 0.2 * generator.normal(size=(3000, num_prompts))
    found = ttest_1samp(samples, 0.0, axis=1).pvalue <= 0.05
    assert 0.75 <= found.mean() <= 0.85


def test_prompts_needed_are_those_that_find_it() -> None:
    needed = prompts_needed(0.03, 0.2)
    assert needed is not None
    assert detectable(0.2, needed) <= 0.03 < detectable(0.2, needed - 1)
    assert prompts_needed(-0.03, 0.2) == needed
    assert prompts_needed(1e-9, 0.2) is None
    assert prompts_needed(5.0, 0.01) == 2
