"""What speed is lost with a threshold that is not a task's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float64, Int64

from smart_speed.hypotheses.replayed import best_indices, weights_of

_RESAMPLES = 1000


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Seconds:
    """Of one strategy on one task, row by row: all prompts, or bootstrap samples of them."""

    at: Float64[np.ndarray, "samples thetas"]
    lower: Float64[np.ndarray, "samples thetas"]
    """With 0.75 times each threshold."""
    higher: Float64[np.ndarray, "samples thetas"]
    """With 1.25 times."""

    def weighted(self, weights: Float64[np.ndarray, "samples prompts"]) -> "Seconds":
        """Return the seconds of all prompts together, each as often as a row says."""
        return Seconds(
            at=weights @ self.at, lower=weights @ self.lower, higher=weights @ self.higher
        )

    def best(self) -> Int64[np.ndarray, " samples"]:
        """Return the index of the best threshold in each row."""
        return best_indices(self.at)


ByTask = Mapping[str, Seconds]


def whole_of(by_task: ByTask) -> dict[str, Seconds]:
    """Return the seconds of each task's prompts together, as they are."""
    return {task: each.weighted(np.ones((1, len(each.at)))) for task, each in by_task.items()}


def resampled(by_task: ByTask) -> dict[str, Seconds]:
    """Return the same for bootstrap samples of each task's prompts, drawn with a fixed seed."""
    rng = np.random.default_rng(0)
    found = {}
    for task, each in by_task.items():
        num = len(each.at)
        found[task] = each.weighted(weights_of(rng.integers(num, size=(_RESAMPLES, num))))
    return found


def _loss(
    seconds: Float64[np.ndarray, "samples thetas"],
    own: Int64[np.ndarray, " samples"],
    used: Float64[np.ndarray, " samples"],
) -> Float64[np.ndarray, " samples"]:
    """Return the share of the speed that is lost beside a task's own threshold."""
    lost: np.ndarray = 1 - seconds[np.arange(len(own)), own] / used
    return lost


def transfer_losses(by_task: ByTask) -> Float64[np.ndarray, "tasks tasks samples"]:
    """Return the losses with a row for each task tuned on, a column for each used on."""
    best = [each.best() for each in by_task.values()]
    rows = np.arange(len(best[0]))
    table = [
        [
            _loss(each.at, own, each.at[rows, tuned])
            for each, own in zip(by_task.values(), best, strict=True)
        ]
        for tuned in best
    ]
    return np.array(table)


def perturbation_losses(by_task: ByTask) -> Float64[np.ndarray, "tasks 2 samples"]:
    """Return the losses of each task with its own threshold lowered and raised."""
    table = []
    for each in by_task.values():
        own = each.best()
        rows = np.arange(len(own))
        table.append([_loss(each.at, own, off[rows, own]) for off in (each.lower, each.higher)])
    return np.array(table)


def mean_loss(kind: str, by_task: ByTask) -> Float64[np.ndarray, " samples"]:
    """Return the mean over tasks and factors, or over pairs of tasks, as "transfer" has it."""
    if kind == "perturbation":
        mean: np.ndarray = perturbation_losses(by_task).mean(axis=(0, 1))
        return mean
    table = transfer_losses(by_task)
    # The diagonal is 0: a task's own threshold loses nothing.
    total: np.ndarray = table.sum(axis=(0, 1))
    return total / (len(table) * (len(table) - 1))
