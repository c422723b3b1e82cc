"""H2: the best threshold depends on how complex a task is."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from smart_speed.errors import ConfigError
from smart_speed.hypotheses.power import LEVEL, percent
from smart_speed.hypotheses.ranks import (
    detectable_correlation,
    permutation_p,
    spearman,
    with_tasks,
)
from smart_speed.hypotheses.replayed import (
    Played,
    ladder,
    play,
    replayable,
    settings_for,
    weights_of,
)
from smart_speed.hypotheses.verdict import Outcome, Verdict, missing
from smart_speed.loaded_run import LoadedRun
from smart_speed.metrics.intervals import Interval, known
from smart_speed.tracing.prepared import PreparedTrace

COMPLEXITIES = ("entropy", "perplexity")
"""Variants: the verifier's mean entropy per token, in nats; its perplexity of its own text."""
LEAST_TASKS = 5
"""With fewer, no order of tasks is so rare that it could not be chance."""
NEGLIGIBLE = 0.5
"""A correlation that is surely nearer to 0 than this explains less than a quarter of the ranks."""
GROUPS = 4
"""Parts of each task's prompts that are points of their own, if it has as many as that twice."""
_RESAMPLES = 1000
_LOW, _HIGH, _STEP = 0.03, 8.0, 1.04


class _Task(NamedTuple):
    """One task's prompts."""

    played: Played
    sums: Float64[np.ndarray, "prompts 3"]
    """Of entropy in nats, of the negative logarithm of the probability, and tokens."""


class _Points(NamedTuple):
    """One task as a point of the scatter: first as it is, then resampled."""

    thetas: Float64[np.ndarray, " samples"]
    complexities: Float64[np.ndarray, " samples"]


class _Run(NamedTuple):
    """What all tasks of a run say."""

    tasks: Mapping[str, _Task]
    settings: Mapping[str, Any]
    """Of "absolute", but for the threshold."""
    sampled: bool
    """Whether there is a text that was drawn."""


def judge_h2(run: LoadedRun) -> list[Verdict]:
    """Judge H2 by replay, for two ways of saying how complex a task is.

    Variants are ``COMPLEXITIES``. RATIO being {"value", "low", "high"} at 95 %, resampling
    prompts, the figures of each are::

        {"complexity": "entropy" | "perplexity", "unit": "nats per token" | "perplexity",
         "settings": of "absolute" but for theta_abs, the learned ones,
         "correlation": RATIO, Spearman's over tasks,
         "combined": RATIO, with the chance that lies in the choice of tasks as well,
         "p_value": of no correlation over tasks, by permutation,
         "detectable_correlation": what so many tasks would have shown with 80 % power,
         "tasks": {TASK: {"num_prompts", "complexity": RATIO, "theta": RATIO in nats}},
         "group_correlation": Spearman's over the groups, without an interval: they are not
             independent of each other,
         "groups": [{"task", "num_prompts", "complexity", "theta"}, …], parts of the tasks}
    """
    try:
        found = _played(run)
    except ConfigError as error:
        return [missing("H2", name, str(error)) for name in COMPLEXITIES]
    return [
        missing("H2", name, _SAMPLED)
        if name == "perplexity" and found.sampled
        else _judged(name, found.tasks, found.settings)
        for name in COMPLEXITIES
    ]


_SAMPLED = (
    "H2 asks for the probability of the verifier's own text, and traces of sampled text do not "
    "hold it."
)


def _played(run: LoadedRun) -> _Run:
    """Play thresholds on all tasks.

    Raises:
        ConfigError: If the run lacks what that takes.
    """
    texts = replayable(run)
    tasks = {task: each for task, each in texts.tasks.items() if len(each) > 1}
    if len(tasks) < LEAST_TASKS:
        raise ConfigError(
            f"H2 asks for traces of at least {LEAST_TASKS} tasks with two prompts or more each, "
            f"and the run has {len(tasks)}."
        )
    settings = settings_for(run, "absolute", texts.max_draft_len)
    thetas = ladder(_LOW, _HIGH, _STEP)
    return _Run(
        tasks={
            task: _Task(play(texts, task, settings, thetas), _sums(prompts))
            for task, prompts in tasks.items()
        },
        settings=settings,
        sampled=any(text.trace.sampled for text in run.texts),
    )


def _points(name: str, parts: Mapping[str, _Task]) -> dict[str, _Points]:
    """Return the point of each task, with bootstrap samples of its prompts."""
    rng = np.random.default_rng(0)
    found = {}
    for task, part in parts.items():
        num = len(part.sums)
        picks = np.vstack([np.arange(num), rng.integers(num, size=(_RESAMPLES, num))])
        found[task] = _Points(
            thetas=part.played.best_of(picks),
            complexities=_complexity(name, weights_of(picks) @ part.sums),
        )
    return found


def _judged(name: str, parts: Mapping[str, _Task], settings: Mapping[str, Any]) -> Verdict:
    points = _points(name, parts)
    thetas, complexities = ([each[at] for each in points.values()] for at in range(2))
    found = spearman(*(np.array(each).T for each in (thetas, complexities)))
    value, drawn = float(found[0]), found[1:]
    correlation = _interval(value, drawn)
    combined = with_tasks(value, drawn, len(parts))
    p_value = permutation_p(*([float(each[0]) for each in row] for row in (thetas, complexities)))
    outcome: Outcome = "undecided"
    if p_value <= LEVEL and not correlation.low <= 0 <= correlation.high:
        outcome = "supported"
    elif max(-combined.low, combined.high) < NEGLIGIBLE:
        outcome = "refuted"
    groups = _groups(name, parts)
    columns = [np.array([[each[key] for each in groups]]) for key in ("theta", "complexity")]
    return Verdict(
        hypothesis="H2",
        variant=name,
        outcome=outcome,
        sentence=_sentence(name, correlation, p_value, len(parts)),
        figures={
            "complexity": name,
            "unit": _UNITS[name],
            "settings": dict(settings),
            "correlation": correlation.to_json(),
            "combined": combined.to_json(),
            "p_value": p_value,
            "detectable_correlation": known(detectable_correlation(len(parts))),
            "tasks": {
                task: {
                    "num_prompts": len(parts[task].sums),
                    "complexity": _interval(each.complexities[0], each.complexities[1:]).to_json(),
                    "theta": _interval(each.thetas[0], each.thetas[1:]).to_json(),
                }
                for task, each in points.items()
            },
            "group_correlation": float(spearman(*columns)[0]),
            "groups": groups,
        },
        power=_power(value, len(parts)) if outcome == "undecided" else None,
    )


_UNITS = {"entropy": "nats per token", "perplexity": "perplexity"}


def _sums(prompts: Sequence[Sequence[PreparedTrace]]) -> Float64[np.ndarray, "prompts 3"]:
    rows = []
    for prompt in prompts:
        traces = [text.trace for text in prompt]
        entropy = sum(float(each.verifier_entropy_nats.sum()) for each in traces)
        surprise = -sum(float(np.log(each.verifier_top_prob).sum()) for each in traces)
        rows.append((entropy, surprise, sum(each.output_len for each in traces)))
    return np.array(rows, dtype=np.float64)


def _complexity(name: str, sums: np.ndarray) -> np.ndarray:
    entropy, surprise, tokens = np.moveaxis(sums, -1, 0)
    return np.asarray(entropy / tokens if name == "entropy" else np.exp(surprise / tokens))


def _interval(value: float | np.floating[Any], drawn: np.ndarray) -> Interval:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(float(value), float(low), float(high))


def _groups(name: str, parts: Mapping[str, _Task]) -> list[dict[str, Any]]:
    """Return parts of each task's prompts as points: four, or two if it has few."""
    found = []
    for task, part in parts.items():
        num = len(part.sums)
        count = GROUPS if num >= 2 * GROUPS else 2
        for start in range(count):
            some = slice(start, None, count)
            played = Played(thetas=part.played.thetas, seconds=part.played.seconds[some])
            found.append(
                {
                    "task": task,
                    "num_prompts": len(played.seconds),
                    "complexity": float(_complexity(name, part.sums[some].sum(axis=0))),
                    "theta": played.best(),
                }
            )
    return found


def _sentence(name: str, correlation: Interval, p_value: float, num_tasks: int) -> str:
    measure = {
        "entropy": "the verifier's mean entropy",
        "perplexity": "the verifier's perplexity of its own text",
    }[name]
    return (
        f"Over {num_tasks} tasks the absolute threshold that is best by replay and {measure} have "
        f"a rank correlation of {correlation.value:.2f} ({correlation.low:.2f} to "
        f"{correlation.high:.2f} resampling prompts; p = {p_value:.3f} over tasks)."
    )


def _power(value: float, num_tasks: int) -> str:
    shown = (
        f"So many tasks ({num_tasks}) would have shown a correlation of "
        f"{detectable_correlation(num_tasks):.2f} with 80 % power at a level of {percent(LEVEL, 0)}"
    )
    needed = next(
        (n for n in range(LEAST_TASKS, 1001) if detectable_correlation(n) <= abs(value)), None
    )
    wanted = "more than 1000 tasks" if needed is None else f"{needed} tasks"
    return f"{shown}; the one seen takes {wanted}."
