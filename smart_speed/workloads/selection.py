"""Which prompts of many: some of each task."""

from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from smart_speed.errors import check_that


@runtime_checkable
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
    return list(chain.from_iterable(take_turns(prompts, seed=seed)))[:limit]


def take_turns(prompts: Sequence[Item], *, seed: int = 0) -> list[list[Item]]:
    """Put prompts in random order: the first of every task, the second of every task, and so on.

    Args:
        prompts: To order.
        seed: Of the order.
    """
    order = np.random.default_rng(seed).permutation(len(prompts)).tolist()
    by_task: dict[str, list[Item]] = {each.task: [] for each in prompts}
    for at in order:
        by_task[prompts[at].task].append(prompts[at])
    turns = zip_longest(*by_task.values())
    return [[each for each in turn if each is not None] for turn in turns]
