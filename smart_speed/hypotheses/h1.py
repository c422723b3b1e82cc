"""H1: entropy stopping is more than 10 % faster than the best fixed length on half of the tasks."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from smart_speed.errors import ConfigError
from smart_speed.hypotheses.paired import (
    LogRatio,
    Table,
    holm,
    holm_levels,
    log_ratio,
    log_ratios,
    paired_table,
    rank_biserial,
    speed_ratio,
    wilcoxon_p,
)
from smart_speed.hypotheses.power import LEVEL, detectable, percent, prompts_needed
from smart_speed.hypotheses.rivals import AGAINST, Against, Rival, chosen_condition, find_rival
from smart_speed.hypotheses.verdict import Outcome, Verdict, missing
from smart_speed.loaded_run import LoadedRun
from smart_speed.metrics.answers import check_one_machine, shared_answers, usual_answers
from smart_speed.metrics.intervals import Interval, bootstrap_mean, known
from smart_speed.metrics.speed import times_faster
from smart_speed.run_folder import Answer

THRESHOLD = 1.1
"""The ratio of speeds that H1 speaks of."""
CHOSEN = "chosen"
"""In a variant: the strategy that was best on the calibration prompts."""
_ROLES = ("entropy", "calibrated")

Answers = Mapping[str, Sequence[Answer]]


class _Task(NamedTuple):
    """What one task says."""

    table: Table
    ratio: LogRatio | None
    """``None`` with fewer than two prompts."""
    p_value: float
    """Of a ratio that is ``THRESHOLD``."""
    level: float
    """At which that is tested, corrected for the number of tasks."""

    @property
    def side(self) -> int:
        """1 if surely above the threshold, -1 if surely below, 0 if open."""
        if self.ratio is None or self.p_value > self.level:
            return 0
        return 1 if self.ratio.value > math.log(THRESHOLD) else -1


def judge_h1(run: LoadedRun, machine: str | None = None) -> list[Verdict]:
    """Judge H1 for the strategy that was chosen on the calibration prompts, and for each.

    Every variant is "WHAT/AGAINST": WHAT is "chosen" or a condition's name; AGAINST is "grid", the
    best of the standard fixed lengths, or "tuned", the best of all lengths. The first of each
    AGAINST is the chosen one's, which is H1 itself. RATIO being {"value", "low", "high"}, the
    figures of each are::

        {"condition": NAME, "baseline": NAME, "against": "grid" | "tuned",
         "chosen": whether it is the best on the calibration prompts,
         "hindsight": whether the baseline had to be chosen on the test prompts,
         "threshold": 1.1, "num_tasks", "num_above", "num_below",
         "overall": RATIO of speeds, the mean of the tasks, at 95 %,
         "tasks": {TASK: {"num_prompts",
                          "ratio": RATIO of speeds at 95 %, percentiles of a bootstrap,
                          "corrected": RATIO that decides, Student's interval after Holm,
                          "level": of that, for instance 0.05 / 6,
                          "side": "above" | "below" | "open",
                          "p_value": of a ratio that is the threshold, "holm_p_value",
                          "wilcoxon_p_value": of no difference, "wilcoxon_holm_p_value",
                          "median_log_ratio": above 0 if faster, "rank_biserial": -1 to 1,
                          "detectable_percent": distance from the threshold, in percent, that
                              would have been found with 80 % power, "prompts_needed": for the
                              distance that was seen}}}

    With fewer than two prompts in a task all but "num_prompts", "ratio"'s value, "side" and
    "level" is null.

    Args:
        run: With answers, and the predictions that choices are made by.
        machine: Whose answers are looked at, where several have made some.
    """
    names = [name for name, info in run.manifest.conditions.items() if info.role in _ROLES]
    if not names:
        sentence = "H1 asks for a condition that stops by entropy, and the run has none."
        return [missing("H1", f"{CHOSEN}/{against}", sentence) for against in AGAINST]
    try:
        answers = _comparable(run, machine)
    except ConfigError as error:
        return [missing("H1", f"{CHOSEN}/{against}", str(error)) for against in AGAINST]
    chosen = chosen_condition(run, names)
    found = []
    for against in AGAINST:
        rival = find_rival(run, answers, against)
        if rival is None:
            found.append(missing("H1", f"{CHOSEN}/{against}", _NO_RIVAL[against]))
            continue
        if chosen is None:
            found.append(missing("H1", f"{CHOSEN}/{against}", _NO_CHOICE))
        else:
            found.append(_judged(CHOSEN, chosen, rival, against, answers))
        found += [_judged(name, name, rival, against, answers) for name in names]
    return found


_NO_CHOICE = (
    "H1 asks for predictions on the calibration prompts to choose a strategy by, and the run's "
    "profile has none."
)
_NO_RIVAL: Mapping[Against, str] = {
    "grid": "H1 asks for conditions with standard fixed lengths (fixed-4 …) that were answered.",
    "tuned": "H1 asks for the best fixed length of all (fixed-best) to have been answered.",
}


def _comparable(run: LoadedRun, machine: str | None) -> Answers:
    """Return the answers to prompts that all conditions have answered, by condition.

    Raises:
        ConfigError: If they were timed on several machines, or a condition is unknown.
    """
    made = [each for each in run.answers if machine in (None, each.machine)]
    check_one_machine(made)
    return shared_answers(run.manifest, usual_answers(made))


def _judged(what: str, name: str, rival: Rival, against: Against, answers: Answers) -> Verdict:
    """Hold one condition against another."""
    variant = f"{what}/{against}"
    tasks = _tasks(answers[name], answers[rival.name])
    if not tasks:
        sentence = f"H1 asks for prompts that both {name} and {rival.name} have answered."
        return missing("H1", variant, sentence)
    sides = [task.side for task in tasks.values()]
    above, below = sides.count(1), sides.count(-1)
    outcome: Outcome = "undecided"
    if 2 * above >= len(tasks):
        outcome = "supported"
    elif 2 * below > len(tasks):
        outcome = "refuted"
    overall = bootstrap_mean([each.table for each in tasks.values()], times_faster)
    return Verdict(
        hypothesis="H1",
        variant=variant,
        outcome=outcome,
        sentence=_sentence(what, name, rival, against, overall, sides),
        figures={
            "condition": name,
            "baseline": rival.name,
            "against": against,
            "chosen": what == CHOSEN,
            "hindsight": rival.hindsight,
            "threshold": THRESHOLD,
            "num_tasks": len(tasks),
            "num_above": above,
            "num_below": below,
            "overall": overall.to_json(),
            "tasks": _figures(tasks),
        },
        power=_power(tasks) if outcome == "undecided" else None,
    )


def _tasks(answers: Sequence[Answer], others: Sequence[Answer]) -> dict[str, _Task]:
    """Return what each task says, corrected for their number."""
    tables = {}
    for task in dict.fromkeys(each.task for each in answers):
        table = paired_table([each for each in answers if each.task == task], others)
        if len(table):
            tables[task] = table
    ratios = [log_ratio(table) if len(table) > 1 else None for table in tables.values()]
    p_values = [1.0 if each is None else each.p_value(THRESHOLD) for each in ratios]
    rows = zip(tables.values(), ratios, p_values, holm_levels(p_values), strict=True)
    return {task: _Task(*row) for task, row in zip(tables, rows, strict=True)}


def _figures(tasks: Mapping[str, _Task]) -> dict[str, Any]:
    """Return what ``judge_h1`` says of each task."""
    corrected = holm([each.p_value for each in tasks.values()])
    wilcoxon = [wilcoxon_p(log_ratios(each.table).tolist()) for each in tasks.values()]
    rows = zip(tasks.items(), corrected, wilcoxon, holm(wilcoxon), strict=True)
    found = {}
    for (name, task), holm_p, wilcoxon_p_value, wilcoxon_holm in rows:
        alone = task.ratio is None
        found[name] = {
            "num_prompts": len(task.table),
            "ratio": speed_ratio(task.table).to_json(),
            "corrected": task.ratio.interval(task.level).to_json() if task.ratio else None,
            "level": task.level,
            "side": {1: "above", -1: "below", 0: "open"}[task.side],
            "p_value": None if alone else task.p_value,
            "holm_p_value": None if alone else holm_p,
            "wilcoxon_p_value": None if alone else wilcoxon_p_value,
            "wilcoxon_holm_p_value": None if alone else wilcoxon_holm,
            **_effects(task),
        }
    return found


def _effects(task: _Task) -> dict[str, Any]:
    """Return effect sizes, and what it takes to find them."""
    if task.ratio is None:
        names = ("median_log_ratio", "rank_biserial", "detectable_percent", "prompts_needed")
        return dict.fromkeys(names)
    ratios = log_ratios(task.table)
    spread = _spread(task)
    return {
        "median_log_ratio": float(np.median(ratios)),
        "rank_biserial": rank_biserial(ratios.tolist()),
        "detectable_percent": known(_percent(detectable(spread, len(ratios)))),
        "prompts_needed": _needed(task),
    }


def _spread(task: _Task) -> float:
    """Return the standard deviation between prompts, as it counts in a ratio of sums."""
    assert task.ratio is not None
    return task.ratio.error * math.sqrt(len(task.table))


def _needed(task: _Task) -> int | None:
    """Return how many prompts would tell what was seen from the threshold."""
    assert task.ratio is not None
    distance = task.ratio.value - math.log(THRESHOLD)
    return prompts_needed(distance, _spread(task)) if distance else None


def _percent(log_difference: float) -> float:
    return 100 * math.expm1(min(log_difference, 100.0))


def _sentence(
    what: str, name: str, rival: Rival, against: Against, overall: Interval, sides: Sequence[int]
) -> str:
    which = f"{name}, chosen on the calibration prompts," if what == CHOSEN else name
    beaten = {"grid": "the best standard fixed length", "tuned": "the best fixed length of all"}
    where = "these very prompts (in hindsight)" if rival.hindsight else "the calibration prompts"
    sure = ""
    if math.isfinite(overall.low):
        sure = f" ({overall.low:.2f} to {overall.high:.2f})"
    tasks = "1 task" if len(sides) == 1 else f"{len(sides)} tasks"
    return (
        f"{which} is {overall.value:.2f} times{sure} as fast as {rival.name}, "
        f"{beaten[against]} on {where}; of {tasks} it is surely more than 10 % faster on "
        f"{sides.count(1)} and surely not on {sides.count(-1)}, with {sides.count(0)} left open."
    )


def _power(tasks: Mapping[str, _Task]) -> str:
    """Say what would have been found in the tasks that are open."""
    left = [task for task in tasks.values() if not task.side and task.ratio]
    if not left:
        return "Tasks of one prompt say nothing of their spread; it takes two at least."
    nums = [len(task.table) for task in left]
    smallest = [_percent(detectable(_spread(task), len(task.table))) for task in left]
    needed = [each for task in left if (each := _needed(task)) is not None]
    wanted = _range(needed, ".0f") if needed else ""
    if len(needed) < len(left):
        wanted = f"{wanted} to more than a million".removeprefix(" to ")
    return (
        f"With 80 % power at a level of {percent(LEVEL, 0)}, a task by itself, the "
        f"{_range(nums, '.0f')} prompts of an open task would have shown a distance of "
        f"{_range(smallest, '.1f')} % from {THRESHOLD:.2f}; what was seen takes {wanted} prompts."
    )


def _range(values: Sequence[int | float], form: str) -> str:
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"
