"""How much of what an oracle would gain did each condition gain, by replay and live?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from smart_speed.calibration.judging import Judge, Judgement, Totals
from smart_speed.config import EntropyConfig
from smart_speed.errors import ConfigError, SmartSpeedError
from smart_speed.evaluation import Interval, bootstrap_mean
from smart_speed.hypotheses.paired import paired_table
from smart_speed.loaded_run import LoadedRun
from smart_speed.metrics.answers import shared_answers, usual_answers
from smart_speed.metrics.speed import times_faster
from smart_speed.tracing.oracle import fixed_seconds, oracle, plain_seconds


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What lies between the best fixed draft length and the oracle, and who closed it."""

    fixed_len: int
    in_hindsight: bool
    """Whether the fixed length was chosen on the very texts it is compared on."""
    num_texts: int
    """Traced: the first turns of prompts."""
    oracle: Judgement
    plain: Judgement
    """Plain decoding, which may be faster than the fixed length."""
    by_condition: Mapping[str, Judgement]
    """By replay; conditions that the traces cannot judge are missing, as is plain decoding."""
    above: Mapping[str, Interval]
    """By replay as well: share of what lies between the faster of fixed length and plain decoding
    on each task, and the oracle; the mean of the tasks."""
    live: Mapping[str, Interval]
    """Share closed by measured speeds, the mean of the tasks; empty without the tuned length."""

    @property
    def plain_ahead(self) -> dict[str, float]:
        """Share of the gap that plain decoding closes on the tasks where it beats the length."""
        over = self.plain.over_fixed_by_task
        return {task: self.plain.share_by_task[task] for task in over if over[task] > 1}


# Where the oracle gains nothing there is no gap, and no share of it.
@np.errstate(divide="ignore", invalid="ignore")
def find_gap(run: LoadedRun, machine: str | None = None) -> Gap | str:
    """Replay a run's conditions on traces of its prompts, or say why that cannot be done.

    Args:
        run: With traces and costs.
        machine: Whose answers are looked at, where several have made some.
    """
    if run.costs is None:
        return "The share of the oracle's gap is not known: no costs were measured for this run."
    learned = run.profile.settings_of("fixed").get("max_draft_len") if run.profile else None
    try:
        if not run.texts:
            return "The share of the oracle's gap is not known: the prompts were not traced."
        judge = Judge(run.texts, run.costs, fixed_len=learned)
        bound = judge.oracle()
    except SmartSpeedError as error:
        return f"The share of the oracle's gap is not known: {error}"
    played = _played(judge, run)
    return Gap(
        fixed_len=judge.fixed_len,
        in_hindsight=learned is None,
        num_texts=len(run.texts),
        oracle=bound,
        plain=judge.judge(EntropyConfig(strategy="plain")),
        by_condition={name: judge.judgement(totals) for name, totals in played.items()},
        above=_above_both(judge, played),
        live=_live(run, bound.over_fixed_by_task, machine),
    )


def _played(judge: Judge, run: LoadedRun) -> dict[str, list[Totals]]:
    found: dict[str, list[Totals]] = {}
    for name, info in run.manifest.conditions.items():
        if info.role in ("plain", "ablation") or not info.lossless:
            continue
        config = EntropyConfig.from_dict(info.config)
        if config.draft_cap <= judge.max_draft_len:
            try:
                found[name] = judge.play(config)
            except ConfigError:
                continue  # it reads what traces do not hold, and is said to be left out
    return found


def _above_both(judge: Judge, played: Mapping[str, Sequence[Totals]]) -> dict[str, Interval]:
    """Return the share of the gap above the faster of fixed length and plain decoding."""
    bounds = [
        (
            plain_seconds(text, judge.costs),
            fixed_seconds([text], judge.costs, [judge.fixed_len])[0],
            oracle(text, judge.costs, judge.max_draft_len).seconds,
        )
        for text in judge.texts
    ]
    found: dict[str, Interval] = {}
    for name, totals in played.items():
        rows: dict[str, list[tuple[float, ...]]] = {task: [] for task in judge.tasks}
        for text, total, more in zip(judge.texts, totals, bounds, strict=True):
            rows[text.trace.task].append((total.seconds, *more))
        tables = [np.array(each) for each in rows.values()]
        found[name] = bootstrap_mean(tables, _share_above_both)
    return found


def _share_above_both(sums: np.ndarray) -> np.ndarray:
    """Return (speed - the faster one's) / (oracle's - the faster one's) of sums of seconds."""
    speed, plain, fixed, best = (1 / sums[..., column] for column in range(4))
    faster = np.maximum(plain, fixed)
    return np.asarray((speed - faster) / (best - faster))


def _live(
    run: LoadedRun, oracle_over_fixed: Mapping[str, float], machine: str | None
) -> dict[str, Interval]:
    """Return (live speed over the tuned length - 1) / (the oracle's by replay - 1), task by task.

    The oracle's speed has no part in the interval, which is that of the measured one.
    """
    conditions = run.manifest.conditions
    tuned = next((name for name, info in conditions.items() if info.role == "tuned-fixed"), None)
    if tuned is None:
        return {}
    usual = usual_answers(each for each in run.answers if machine in (None, each.machine))
    answers = shared_answers(run.manifest, usual)
    rooms = {task: over - 1 for task, over in oracle_over_fixed.items()}
    found: dict[str, Interval] = {}
    for name, own in answers.items():
        tables = []
        for task in dict.fromkeys(each.task for each in own):
            table = paired_table([each for each in own if each.task == task], answers[tuned])
            room = np.full((len(table), 1), rooms.get(task, math.nan))
            # A column of ones beside it turns its sum back into the task's own.
            tables.append(np.hstack([table, room, np.ones_like(room)]))
        found[name] = bootstrap_mean(tables, _share)
    return found


def _share(sums: np.ndarray) -> np.ndarray:
    return np.asarray((times_faster(sums) - 1) / (sums[..., 4] / sums[..., 5]))
