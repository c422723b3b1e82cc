"""Whether two things rise together over tasks: Spearman's correlation, and how sure it is."""

import math
from collections.abc import Sequence
from itertools import permutations

import numpy as np
from jaxtyping import Float64

from smart_speed.hypotheses.power import LEVEL, POWER, normal, scipy
from smart_speed.metrics.intervals import Interval

_PERMUTATIONS = 10_000
_EXACT = 7


def spearman(
    rows: Float64[np.ndarray, "samples points"], others: Float64[np.ndarray, "samples points"]
) -> Float64[np.ndarray, " samples"]:
    """Return Spearman's rank correlation of each row with its like; 0 where all are equal."""
    rank = scipy("stats").rankdata
    ranks = [rank(each, axis=1) for each in (rows, others)]
    first, second = (each - each.mean(axis=1, keepdims=True) for each in ranks)
    below = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    above = (first * second).sum(axis=1)
    found: np.ndarray = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    return found


def permutation_p(values: Sequence[float], others: Sequence[float]) -> float:
    """Return how often chance would order points at least as alike, or as opposed.

    All orders are tried for up to seven points, else ten thousand drawn with a fixed seed.
    """
    points = np.array(values, dtype=np.float64)
    fixed = np.array([others], dtype=np.float64)
    if len(points) <= _EXACT:
        orders = np.array(list(permutations(range(len(points)))))
    else:
        rng = np.random.default_rng(0)
        orders = rng.permuted(np.tile(np.arange(len(points)), (_PERMUTATIONS, 1)), axis=1)
        orders[0] = np.arange(len(points))
    found = np.abs(spearman(points[orders], np.repeat(fixed, len(orders), axis=0)))
    observed = abs(float(spearman(points[None], fixed)[0]))
    return float((found >= observed - 1e-12).mean())


def with_tasks(value: float, drawn: np.ndarray, num_tasks: int) -> Interval:
    """Return the interval that holds for other tasks and other prompts alike.

    On Fisher's scale, atanh, the variances of both choices are added up; that of the tasks is
    (1 + r² / 2) / (n - 3).

    Source: Bonett and Wright 2000, "Sample Size Requirements for Estimating Pearson, Kendall and
    Spearman Correlations".
    """
    scaled = np.arctanh(np.clip(drawn, -0.99, 0.99))
    middle = math.atanh(min(max(value, -0.99), 0.99))
    variance = float(scaled.var()) + (1 + value**2 / 2) / (num_tasks - 3)
    reach = normal(1 - LEVEL / 2) * math.sqrt(variance)
    return Interval(value, math.tanh(middle - reach), math.tanh(middle + reach))


def detectable_correlation(num_tasks: int) -> float:
    """Return the correlation that so many tasks would have shown with 80 % power.

    On Fisher's scale the variance of the tasks is 1.06 / (n - 3).

    Source: Fieller, Hartley and Pearson 1957, "Tests for Rank Correlation Coefficients. I".
    """
    reach = normal(1 - LEVEL / 2) + normal(POWER)
    return math.tanh(reach * math.sqrt(1.06 / (num_tasks - 3)))
