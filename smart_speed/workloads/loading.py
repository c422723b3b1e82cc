"""Prompts of one or several data sets: all of them, some of them, or two parts of them."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from smart_speed.errors import ConfigError, check_that
from smart_speed.workloads.data_files import local_path
from smart_speed.workloads.prompt import WorkloadPrompt, plain_text
from smart_speed.workloads.selection import choose, take_turns
from smart_speed.workloads.sources import read_source


def load_workload(
    name: str | Sequence[str], *, split: str | None = None, limit: int | None = None, seed: int = 0
) -> list[WorkloadPrompt]:
    """Choose prompts at random from one or several data sets, the tasks taking turns.

    Args:
        name: "builtin", a file, a folder that holds the file of a split, or a data set on the
            hub; ``NAME:SPLIT`` or ``NAME:CONFIG:SPLIT``, and ``TASK=`` before it to name its
            task. Several in a list, or with commas between.
        split: Of those that name none; ``None`` means "test", and "test" is whatever part a known
            data set of the hub is tested on.
        limit: The most to choose; ``None`` for all. A larger one adds to the choice of a smaller.
        seed: Of the choice.

    Raises:
        ConfigError: If there is no such data set, or it holds something else than prompts.
        EngineMissingError: If a package to read it with is not installed.
    """
    return choose(read_workload(name, split=split), limit, seed=seed)


def read_workload(name: str | Sequence[str], *, split: str | None = None) -> list[WorkloadPrompt]:
    """Return all prompts of one or several data sets, in their own order.

    The arguments and errors are those of ``load_workload``.
    """
    names = _names(name)
    check_that(bool(names), "dataset_name", "at least one name", name)
    check_that(len(set(names)) == len(names), "dataset_name", "named once each", name)
    found: dict[str, WorkloadPrompt] = {}
    numbers: Counter[str] = Counter()
    for each in names:
        for task, said, mark in read_source(each, split or "test"):
            begin = f"{task}/{mark}"
            prompt_id = said.prompt_id or f"{begin}{numbers[begin]}"
            while prompt_id in found:  # another one of the task, or of another data set of it
                numbers[begin] += 1
                prompt_id = f"{begin}{numbers[begin]}"
            found[prompt_id] = WorkloadPrompt(
                prompt_id=prompt_id,
                task=task,
                turns=said.turns,
                chat=said.chat,
                reference=said.reference,
                check=said.check,
                item_text=said.item_text,
            )
    return list(found.values())


def _names(name: str | Sequence[str]) -> list[str]:
    if not isinstance(name, str):
        return list(name)
    if local_path(name):  # a comma in its path
        return [name]
    return [part.strip() for part in name.split(",") if part.strip()]


class Split(NamedTuple):
    """Prompts to learn on, and others to be answered; no text is in both."""

    calibration: list[WorkloadPrompt]
    test: list[WorkloadPrompt]


def split_workload(
    prompts: Sequence[WorkloadPrompt], num_calibration: int, num_test: int, seed: int = 0
) -> Split:
    """Part prompts at random, the tasks taking turns on both sides.

    A task with few prompts gives both sides their share, and its only one to be answered. Of
    prompts that differ in nothing but case and white space, the first is taken.

    Args:
        prompts: To choose from.
        num_calibration: How many to learn on; may be 0.
        num_test: How many to be answered.
        seed: Of the choice.

    Raises:
        ConfigError: If there are too few.
    """
    check_that(num_calibration >= 0, "num_calibration", "at least 0", num_calibration)
    check_that(num_test >= 1, "num_test", "at least 1", num_test)
    distinct = list({plain_text(each.turns): each for each in reversed(prompts)}.values())[::-1]
    if len(distinct) < num_calibration + num_test:
        raise ConfigError(
            f"prompts must be at least {num_calibration} to learn on and {num_test} others to "
            f"answer, got {len(distinct)} of different texts; ask for fewer, or name more data."
        )
    calibration: list[WorkloadPrompt] = []
    test: list[WorkloadPrompt] = []
    for turn in take_turns(distinct, seed=seed):
        learns = len(calibration) * num_test < len(test) * num_calibration
        room = (num_calibration - len(calibration)) if learns else (num_test - len(test))
        first, second = (calibration, test) if learns else (test, calibration)
        first += turn[:room]
        second += turn[room:]
    return Split(calibration[:num_calibration], test[:num_test])
