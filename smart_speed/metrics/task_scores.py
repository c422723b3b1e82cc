"""Which answers are right, for tasks whose answers can be checked."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, final

import numpy as np

from smart_speed.checks.answer_check import AnswerCheck
from smart_speed.checks.python_program import program_of
from smart_speed.metrics.intervals import bootstrap_mean
from smart_speed.metrics.speed import Answers
from smart_speed.run_folder import Answer, RunManifest


@final
class Checker:
    """The checks of a run's prompts, and what came of programs that were run."""

    def __init__(self, checks: Mapping[str, AnswerCheck], outcomes: Mapping[str, bool]) -> None:
        """Take what is known.

        Args:
            checks: By prompt.
            outcomes: Whether a program passed, by ``program_id``.
        """
        self._checks = checks
        self._outcomes = outcomes

    def is_right(self, answer: Answer) -> bool | None:
        """Judge an answer; ``None`` where it cannot be checked, or its program was not yet run."""
        check = self._checks.get(answer.prompt_id)
        if check is None or answer.text is None or answer.turn or answer.record.status != "ok":
            return None
        if check.runs_code:
            return self._outcomes.get(program_id(program_of(answer.text, check)))
        return check.is_right(answer.text)

    def programs(self, answers: Iterable[Answer]) -> dict[str, str]:
        """Return the programs in some answers that were not yet run, by ``program_id``."""
        found = {}
        for each in answers:
            check = self._checks.get(each.prompt_id)
            if check is not None and check.runs_code and each.text is not None and not each.turn:
                program = program_of(each.text, check)
                found[program_id(program)] = program
        return {key: each for key, each in found.items() if key not in self._outcomes}


def checker_of(manifest: RunManifest, outcomes: Mapping[str, bool]) -> Checker:
    """Return the checker of a run; chats of several turns are not checked."""
    return Checker(
        {
            each.prompt_id: each.check
            for each in manifest.prompts
            if each.check is not None and each.num_turns == 1
        },
        outcomes,
    )


def program_id(program: str) -> str:
    """Return what a program goes by: the sha256 of its text."""
    return hashlib.sha256(program.encode("utf-8", "replace")).hexdigest()


class TaskScore(NamedTuple):
    """How many of a task's answers are right."""

    num_checked: int
    num_right: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields, and the share with its interval over prompts, as JSON values."""
        wrong = self.num_checked - self.num_right
        table = np.array([[1.0, 1.0]] * self.num_right + [[0.0, 1.0]] * wrong).reshape(-1, 2)
        return {**self._asdict(), "score": bootstrap_mean([table], share_right).to_json()}


def task_score(answers: Answers, checker: Checker) -> TaskScore:
    """Count the right ones among the answers that can be checked."""
    judged = [right for each in answers if (right := checker.is_right(each)) is not None]
    return TaskScore(len(judged), sum(judged))


def share_right(sums: np.ndarray) -> np.ndarray:
    """Return right answers as a share of those checked, of sums over such rows."""
    share: np.ndarray = sums[..., 0] / sums[..., 1]
    return share


def task_scores(
    by_condition: Mapping[str, Answers], tasks: Sequence[str], checker: Checker
) -> dict[str, Any]:
    """Return each condition's scores by task, as JSON values; tasks without a check are left out.

    Args:
        by_condition: Answers to the same prompts, without repeats.
        tasks: Of those prompts.
        checker: Of the run.
    """
    found: dict[str, Any] = {}
    for name, answers in by_condition.items():
        by_task = {
            task: task_score([each for each in answers if each.task == task], checker)
            for task in tasks
        }
        found[name] = {
            task: score.to_json() for task, score in by_task.items() if score.num_checked
        }
    return found
