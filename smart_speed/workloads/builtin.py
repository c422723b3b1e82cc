"""The built-in prompts: twelve for each of six tasks, written for this project.

They sit in ``prompts.jsonl`` beside this file, so an experiment needs no download. Use them to
compare conditions on one machine; they are too few, and too easy, to grade a model with.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import final

from smart_speed.errors import check_that, unknown_name

BUILTIN_TASKS = ("math", "code", "qa", "summarisation", "translation", "writing")
"""In the order in which they take turns."""

_PROMPTS_PER_TASK = 12


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One instruction for a chat model, to be answered in a single turn."""

    prompt_id: str
    """Task and number, as in "math/01"; results are paired by it."""
    task: str
    text: str


def builtin_prompts(
    tasks: Sequence[str] | None = None, *, per_task: int | None = None
) -> tuple[Prompt, ...]:
    """Return prompts, the tasks taking turns: math/01, code/01, ..., math/02, ...

    So a run that is cut short has still seen every task.

    Args:
        tasks: Some of ``BUILTIN_TASKS``, in the order of their turns; all if None.
        per_task: How many of each task, the first ones; all twelve if None.

    Raises:
        ConfigError: If a task is unknown or named twice, or ``per_task`` is not from 1 to 12.
    """
    chosen = BUILTIN_TASKS if tasks is None else tuple(tasks)
    for task in chosen:
        if task not in BUILTIN_TASKS:
            raise unknown_name("task", task, BUILTIN_TASKS)
    check_that(len(set(chosen)) == len(chosen), "tasks", "named once each", chosen)
    count = _PROMPTS_PER_TASK if per_task is None else per_task
    check_that(1 <= count <= _PROMPTS_PER_TASK, "per_task", f"from 1 to {_PROMPTS_PER_TASK}", count)
    by_id = _read_prompts()
    return tuple(by_id[f"{task}/{number:02}"] for number in range(1, count + 1) for task in chosen)


def _read_prompts() -> dict[str, Prompt]:
    lines = files("smart_speed.workloads").joinpath("prompts.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return {
        row["prompt_id"]: Prompt(prompt_id=row["prompt_id"], task=row["task"], text=row["prompt"])
        for row in rows
    }
