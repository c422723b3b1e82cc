"""Figures with intervals: percentiles of a bootstrap whose rows are prompts."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float | None]:
        """Return the fields as JSON values; JSON knows no NaN, so what is not known is null."""
        return {name: known(value) for name, value in self._asdict().items()}


def known(value: float) -> float | None:
    """Return a figure as a JSON value: null where it could not be computed."""
    return value if math.isfinite(value) else None


def bootstrap(
    table: np.ndarray, of_sums: Callable[[np.ndarray], np.ndarray], resamples: int = 2000
) -> Interval:
    """Return a function of column sums, with its percentile interval over resampled rows."""
    return bootstrap_mean([table], of_sums, resamples)


def bootstrap_mean(
    tables: Sequence[np.ndarray],
    of_sums: Callable[[np.ndarray], np.ndarray],
    resamples: int = 2000,
) -> Interval:
    """Return the mean over tables of a function of column sums, with its percentile interval.

    Arguments as for ``bootstrap_across``.
    """
    return bootstrap_across(np.mean, tables, of_sums, resamples)


def bootstrap_across(
    across: Callable[..., np.ndarray],
    tables: Sequence[np.ndarray],
    of_sums: Callable[[np.ndarray], np.ndarray],
    resamples: int = 2000,
) -> Interval:
    """Return what tables come to together, with its percentile interval.

    Rows are drawn anew within each table, so that every table keeps its weight. The interval is
    NaN where a table has fewer than two rows, everything is where one has none.

    Args:
        across: ``np.mean`` or ``np.median``, over the tables.
        tables: One each for what counts the same, such as a task; a row for each prompt.
        of_sums: From sums over the rows to the figure; the last axis holds the columns.
        resamples: Bootstrap samples, drawn with a fixed seed.
    """
    shortest = min((len(table) for table in tables), default=0)
    if not shortest:
        return Interval(float("nan"), float("nan"), float("nan"))
    value = float(across([of_sums(table.sum(axis=0, keepdims=True)) for table in tables]))
    if shortest == 1:
        return Interval(value, float("nan"), float("nan"))
    rng = np.random.default_rng(0)
    drawn = []
    for table in tables:
        picks = rng.integers(len(table), size=(resamples, len(table)))
        drawn.append(of_sums(table[picks].sum(axis=1)))
    with np.errstate(invalid="ignore"):  # between two infinite quotients an end is NaN, not known
        low, high = np.percentile(across(drawn, axis=0), [2.5, 97.5])
    return Interval(value, float(low), float(high))


def ratio_of_medians(above: Sequence[float], below: Sequence[float]) -> Interval:
    """Return the quotient of two medians, with its percentile interval over resampled pairs.

    For seconds: a median does not mind the few measurements that something else interrupted.

    Args:
        above: One value for each repetition.
        below: Another, measured beside it.
    """
    table = np.array([above, below], dtype=np.float64).T
    if not len(table):
        return Interval(float("nan"), float("nan"), float("nan"))
    picks = np.random.default_rng(0).integers(len(table), size=(2000, len(table)))
    medians = np.median(table[np.vstack([np.arange(len(table)), picks])], axis=1)
    value, *drawn = (medians[:, 0] / medians[:, 1]).tolist()
    if len(table) == 1:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(value, float(low), float(high))
