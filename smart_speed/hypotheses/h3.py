"""H3: relative stopping is more robust than absolute."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from smart_speed.errors import ConfigError
from smart_speed.hypotheses.losses import (
    ByTask,
    Seconds,
    mean_loss,
    perturbation_losses,
    resampled,
    transfer_losses,
    whole_of,
)
from smart_speed.hypotheses.power import LEVEL, POWER, normal, percent
from smart_speed.hypotheses.replayed import (
    LEAST_RATIO,
    SETTINGS,
    Replayable,
    ladder,
    play,
    replayable,
    settings_for,
)
from smart_speed.hypotheses.verdict import Outcome, Verdict, missing
from smart_speed.loaded_run import LoadedRun
from smart_speed.metrics.intervals import Interval

VARIANTS = ("transfer", "perturbation")
"""A threshold tuned on one task and used on another; one that is 25 % off on its own task."""
FACTORS = (0.75, 1.25)
NEGLIGIBLE = 0.005
"""Share of the speed; a gain that is surely smaller is none."""
_RANGES: Mapping[str, tuple[float, float]] = {"absolute": (0.05, 6.0), "relative": (1.05, 8.0)}


def judge_h3(run: LoadedRun) -> list[Verdict]:
    """Judge H3 by replay: thresholds of another task, and thresholds that are 25 % off.

    Variants are ``VARIANTS``. A loss is a share of the speed with the threshold tuned on the task
    itself: 0.02 is 2 % slower. RATIO being {"value", "low", "high"} at 95 %, resampling prompts and
    tuning anew, without the optimism of that (so it is not quite the mean of the tables, and may
    be a little below 0), both have the figures::

        {"kind": "transfer" | "perturbation",
         "difference": RATIO, mean loss of "absolute" less that of "relative": above 0 if relative
             is more robust,
         "relative_speed": of "relative" over "absolute", each tuned, the mean of the tasks,
         "tasks": [TASK, …],
         "strategies": {"absolute" | "relative": {
             "settings": but for the threshold; the cap is the same for both,
             "threshold": "theta_abs" | "theta_rel", "mean_loss": RATIO, "worst_loss",
             "tuned": {TASK: threshold}, "seconds_per_token": {TASK: with it},
             "transfer": [[loss, …], …], a row for the task tuned on, a column for that used on,
             "perturbation": {TASK: {"0.75": loss, "1.25": loss}}}}}
    """
    try:
        texts = replayable(run)
        tasks = [task for task, prompts in texts.tasks.items() if len(prompts) > 1]
        if not tasks:
            raise ConfigError(_NO_TASK)
        settings = _settings(run, texts)
        seconds = {
            strategy: {task: _played(texts, task, settings[strategy]) for task in tasks}
            for strategy in SETTINGS
        }
    except ConfigError as error:
        return [missing("H3", name, str(error)) for name in VARIANTS]
    one_task = (
        "H3 asks for traces of two tasks to carry a threshold from one to the other, and the run "
        f"has those of {tasks[0]} alone."
    )
    return [
        missing("H3", kind, one_task)
        if kind == "transfer" and len(tasks) < 2
        else _judged(kind, seconds, settings, texts)
        for kind in VARIANTS
    ]


_NO_TASK = "H3 asks for traces of a task with two prompts or more, and the run has none."


def _settings(run: LoadedRun, texts: Replayable) -> dict[str, dict[str, Any]]:
    """Return what both strategies have beside their thresholds.

    The cap is the larger of the two that were learned: a low one would do the threshold's work.
    """
    found = {each: settings_for(run, each, texts.max_draft_len) for each in SETTINGS}
    cap = max(each["max_draft_len"] for each in found.values())
    return {strategy: {**each, "max_draft_len": cap} for strategy, each in found.items()}


def _rungs(strategy: str) -> list[float]:
    return ladder(*_RANGES[strategy])


def _played(texts: Replayable, task: str, settings: Mapping[str, Any]) -> Seconds:
    strategy = settings["strategy"]
    rungs = _rungs(strategy)
    lowest = LEAST_RATIO if strategy == "relative" else 0.0
    wanted = [[max(each * factor, lowest) for each in rungs] for factor in (1.0, *FACTORS)]
    thetas = sorted({theta for row in wanted for theta in row})
    seconds = play(texts, task, settings, thetas).seconds
    at, lower, higher = (seconds[:, np.searchsorted(thetas, row)] for row in wanted)
    return Seconds(at=at, lower=lower, higher=higher)


def _judged(
    kind: str,
    seconds: Mapping[str, ByTask],
    settings: Mapping[str, Mapping[str, Any]],
    texts: Replayable,
) -> Verdict:
    whole = {strategy: whole_of(by_task) for strategy, by_task in seconds.items()}
    found = {strategy: float(mean_loss(kind, each)[0]) for strategy, each in whole.items()}
    # The same prompts are drawn for both strategies.
    drawn = {strategy: mean_loss(kind, resampled(by_task)) for strategy, by_task in seconds.items()}
    losses = {strategy: _corrected(found[strategy], drawn[strategy]) for strategy in SETTINGS}
    apart = drawn["absolute"] - drawn["relative"]
    difference = _corrected(found["absolute"] - found["relative"], apart)
    outcome: Outcome = "undecided"
    if difference.high < NEGLIGIBLE:
        outcome = "refuted"
    elif difference.low > 0:
        outcome = "supported"
    tasks = list(whole["absolute"])
    tokens = {
        task: sum(text.output_len for prompt in texts.tasks[task] for text in prompt)
        for task in tasks
    }
    strategies = {
        strategy: {
            "settings": dict(settings[strategy]),
            "threshold": SETTINGS[strategy],
            "mean_loss": losses[strategy].to_json(),
            **_figures(kind, strategy, whole[strategy], tokens),
        }
        for strategy in SETTINGS
    }
    speed = _relative_speed(whole)
    return Verdict(
        hypothesis="H3",
        variant=kind,
        outcome=outcome,
        sentence=_sentence(kind, losses, difference, speed),
        figures={
            "kind": kind,
            "difference": difference.to_json(),
            "relative_speed": speed,
            "tasks": tasks,
            "strategies": strategies,
        },
        power=_power(difference, apart) if outcome == "undecided" else None,
    )


def _figures(
    kind: str, strategy: str, whole: Mapping[str, Seconds], tokens: Mapping[str, int]
) -> dict[str, Any]:
    """Return what is shown of one strategy."""
    rungs = _rungs(strategy)
    best = {task: int(each.best()[0]) for task, each in whole.items()}
    transfer, off = transfer_losses(whole)[..., 0], perturbation_losses(whole)[..., 0]
    return {
        "worst_loss": float((transfer if kind == "transfer" else off).max()),
        "tuned": {task: rungs[at] for task, at in best.items()},
        "seconds_per_token": {
            task: float(whole[task].at[0, at]) / tokens[task] for task, at in best.items()
        },
        "transfer": transfer.tolist(),
        "perturbation": {
            task: dict(zip(map(str, FACTORS), row, strict=True))
            for task, row in zip(whole, off.tolist(), strict=True)
        },
    }


def _relative_speed(whole: Mapping[str, Mapping[str, Seconds]]) -> float:
    """Return how fast "relative" is beside "absolute", each with each task's best threshold."""
    pairs = zip(whole["absolute"].values(), whole["relative"].values(), strict=True)
    ratios = [
        float(one.at[0, one.best()[0]] / other.at[0, other.best()[0]]) for one, other in pairs
    ]
    return math.fsum(ratios) / len(ratios)


def _corrected(value: float, drawn: np.ndarray) -> Interval:
    """Return a figure without its optimism, and its basic bootstrap interval.

    Thresholds that were tuned on few prompts differ between tasks by chance, so that losses look
    larger than they are. Tuning anew on resampled prompts adds as much again, which says how much.
    """
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(*(float(2 * value - each) for each in (drawn.mean(), high, low)))


def _sentence(kind: str, losses: Mapping[str, Interval], difference: Interval, speed: float) -> str:
    what = {
        "transfer": "a threshold tuned on one task and used on another",
        "perturbation": "a threshold that is 25 % too low or too high",
    }[kind]
    absolute, relative = (percent(losses[each].value) for each in ("absolute", "relative"))
    apart, low, high = map(percent, difference)
    return (
        f"By replay, {what} loses {absolute} of the speed with absolute stopping and "
        f"{relative} with relative, a difference of {apart} ({low} to {high}); well tuned, "
        f"relative is {speed:.2f} times as fast as absolute."
    )


def _power(difference: Interval, drawn: np.ndarray) -> str:
    smallest = (normal(1 - LEVEL / 2) + normal(POWER)) * float(drawn.std())
    shown = (
        f"So many prompts would have shown a difference of {percent(smallest)} with 80 % power "
        f"at a level of {percent(LEVEL, 0)}"
    )
    if not difference.value:
        return f"{shown}; none was seen."
    times = (smallest / difference.value) ** 2
    return f"{shown}; the one seen takes {times:.1f} times as many."
