"""How much of what an oracle would gain did each condition gain, by replay and live?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from smart_speed.calibration.judging import Judge, Judgement
from smart_speed.config import EntropyConfig
from smart_speed.errors import SmartSpeedError
from smart_speed.evaluation import Interval, bootstrap_mean
from smart_speed.hypotheses.paired import paired_table, times_faster
from smart_speed.loaded_run import LoadedRun
from smart_speed.metrics.answers import by_condition, prompts_of_all, usual_answers


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What lies between the best fixed draft length and the oracle, and who closed it."""

    fixed_len: int
    in_hindsight: bool
    """Whether the fixed length was chosen on the very texts it is compared on."""
    num_texts: int
    oracle: Judgement
    by_condition: Mapping[str, Judgement]
    """By replay; conditions that the traces cannot judge are missing."""
    live: Mapping[str, Interval]
    """Share closed by measured speeds, the mean of the tasks; empty without the tuned length."""


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
        oracle = judge.oracle()
        judged = _judged(judge, run)
    except SmartSpeedError as error:
        return f"The share of the oracle's gap is not known: {error}"
    return Gap(
        fixed_len=judge.fixed_len,
        in_hindsight=learned is None,
        num_texts=len(run.texts),
        oracle=oracle,
        by_condition=judged,
        live=_live(run, oracle.over_fixed_by_task, machine),
    )


def _judged(judge: Judge, run: LoadedRun) -> dict[str, Judgement]:
    found: dict[str, Judgement] = {}
    for name, info in run.manifest.conditions.items():
        if info.role in ("plain", "ablation") or not info.lossless:
            continue
        config = EntropyConfig.from_dict(info.config)
        if config.draft_cap <= judge.max_draft_len:
            found[name] = judge.judge(config)
    return found


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
    shared = set(prompts_of_all(run.manifest, usual))
    answers = by_condition([each for each in usual if each.prompt_id in shared], conditions)
    rooms = {task: over - 1 for task, over in oracle_over_fixed.items()}
    found: dict[str, Interval] = {}
    for name, own in answers.items():
        tables = []
        for task in dict.fromkeys(each.task for each in own):
            table = paired_table([each for each in own if each.task == task], answers[tuned])
            room = np.full((len(table), 1), rooms.get(task, math.nan))
            # A column of ones beside it turns its sum back into the task's own.
            tables.append(np.hstack([table, room, np.ones_like(room)]))
        with np.errstate(divide="ignore", invalid="ignore"):
            found[name] = bootstrap_mean(tables, _share)
    return found


def _share(sums: np.ndarray) -> np.ndarray:
    return np.asarray((times_faster(sums) - 1) / (sums[..., 4] / sums[..., 5]))
