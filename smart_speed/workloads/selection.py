"""Which prompts of many: some of each task."""

from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Protocol, TypeVar

import numpy as np

from smart_speed.errors import check_that


class HasTask(Protocol):
    """A prompt that knows its task."""

    @property
    def task(self) -> str:
        """Empty if unknown."""
        ...


Item = TypeVar("Item", bound=HasTask)


def choose(prompts: Sequence[Item], limit: int | None, *, seed: int = 0) -> list[Item]:
    """Choose prompts at random, the tasks taking turns.

    So a run that is cut short has seen every task, and a task with few prompts gives all of them.

    Args:
        prompts: To choose from.
        limit: The most to choose; ``None`` for all.
        seed: Of the choice.
    """
    check_that(limit is None or limit >= 1, "limit", "at least 1", limit)
    order = np.random.default_rng(seed).permutation(len(prompts)).tolist()
    by_task: dict[str, list[Item]] = {each.task: [] for each in prompts}
    for at in order:
        by_task[prompts[at].task].append(prompts[at])
    turns = chain.from_iterable(zip_longest(*by_task.values()))
    return [each for each in turns if each is not None][:limit]
