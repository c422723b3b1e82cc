"""Two conditions on the same prompts: how far apart, and how surely.

A table holds a row for each prompt that both have answered: tokens and seconds of the one, then of
the other. All its turns are in it, because they are no more independent of each other than rounds.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from smart_speed.errors import check_that
from smart_speed.hypotheses.power import LEVEL, scipy, student
from smart_speed.metrics.intervals import Interval, bootstrap
from smart_speed.metrics.speed import paired_answers, times_faster
from smart_speed.run_folder import Answer

_RESAMPLES = 2000

Table = Float64[np.ndarray, "prompts 4"]


def paired_table(answers: Sequence[Answer], others: Sequence[Answer]) -> Table:
    """Return a row for each prompt that both have answered, turns added up.

    Args:
        answers: Of one condition, without repeats.
        others: Of another one; turns that either lacks are left out, as is what took no time.
    """
    table = paired_answers(answers, others)
    return table[(table > 0).all(axis=1)]


def speed_ratio(table: Table) -> Interval:
    """Return tokens per second over the other's, with the percentile interval of a bootstrap."""
    return bootstrap(table, times_faster, _RESAMPLES)


def log_ratios(table: Table) -> Float64[np.ndarray, " prompts"]:
    """Return each prompt's logarithm of the other's seconds per token over one's own.

    Above 0 where the first condition is faster.
    """
    tokens, seconds, other_tokens, other_seconds = table.T
    ratios: np.ndarray = np.log(other_seconds / other_tokens) - np.log(seconds / tokens)
    return ratios


class LogRatio(NamedTuple):
    """Logarithm of a ratio of speeds, and how sure it is."""

    value: float
    error: float
    """Standard error."""
    freedom: int
    """Degrees of freedom of the error."""

    def p_value(self, ratio: float) -> float:
        """Return how likely a result at least as far from a ratio would be, were it the true one.

        Two-sided, by Student's law.
        """
        distance = abs(self.value - math.log(ratio))
        if not self.error:
            return float(distance == 0)
        return 2 * float(scipy("special").stdtr(self.freedom, -distance / self.error))

    def interval(self, level: float) -> Interval:
        """Return the ratio with the interval that misses the truth with a probability of level."""
        reach = student(1 - level / 2, self.freedom) * self.error
        return Interval(*(math.exp(self.value + by) for by in (0.0, -reach, reach)))


def log_ratio(table: Table) -> LogRatio:
    """Return the logarithm of the ratio of speeds, its error from a bootstrap over prompts.

    Percentiles are too narrow for a dozen prompts, and say nothing about the far tails that a
    correction for several tasks asks about. The bootstrap's standard deviation, made larger by
    sqrt(n / (n - 1)), with Student's law holds there as well.

    Raises:
        ConfigError: If there are fewer than two prompts.
    """
    num = len(table)
    check_that(num >= 2, "prompts", "at least 2 that both conditions have answered", num)
    picks = np.random.default_rng(0).integers(num, size=(_RESAMPLES, num))
    drawn = np.log(times_faster(table[picks].sum(axis=1)))
    error = float(drawn.std(ddof=1)) * math.sqrt(num / (num - 1))
    # Sums of equal rows differ in their last bits.
    error = error if error > 1e-12 else 0.0
    value = math.log(times_faster(table.sum(axis=0, keepdims=True))[0])
    return LogRatio(value, error, num - 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, after Holm.

    The smallest times m, the next times m - 1 …, none below the one before it, none above 1.

    Source: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(np.argsort(p_values, kind="stable").tolist()):
        highest = min(max(highest, (len(p_values) - rank) * p_values[at]), 1.0)
        corrected[at] = highest
    return corrected


def holm_levels(p_values: Sequence[float], level: float = LEVEL) -> list[float]:
    """Return the level at which Holm's procedure tests each hypothesis.

    From the smallest p-value on, level / m, level / (m - 1) …; once one is not rejected, all
    others are held to its level. Intervals at these levels exclude what the procedure rejects.
    """
    levels, divisor, rejecting = [level] * len(p_values), len(p_values), True
    for at in np.argsort(p_values, kind="stable").tolist():
        levels[at] = level / divisor
        rejecting = rejecting and p_values[at] <= levels[at]
        divisor -= rejecting
    return levels


def wilcoxon_p(ratios: Sequence[float]) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test; 1 if nothing differs.

    Args:
        ratios: Logarithms of paired ratios; those that are 0 are left out.

    Raises:
        ConfigError: If scipy is not installed.
    """
    differing = [each for each in ratios if each]
    return float(scipy("stats").wilcoxon(differing).pvalue) if differing else 1.0


def rank_biserial(ratios: Sequence[float]) -> float:
    """Return the matched-pairs rank-biserial correlation, from -1 to 1; 0 if nothing differs.

    The sum of the ranks of what is above 0 less that of what is below, over both.

    Source: Kerby 2014, "The Simple Difference Formula".
    """
    differing = np.array([each for each in ratios if each])
    if not len(differing):
        return 0.0
    ranks = scipy("stats").rankdata(np.abs(differing))
    return float((ranks * np.sign(differing)).sum() / ranks.sum())
