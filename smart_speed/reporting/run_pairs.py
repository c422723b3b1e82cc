"""Two runs side by side: what may be compared of them, and what came out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from smart_speed.errors import check_that
from smart_speed.evaluation import bootstrap_mean, evaluate_run
from smart_speed.loaded_run import LoadedRun, load_run
from smart_speed.metrics.answers import prompts_of_all, shared_answers, usual_answers
from smart_speed.metrics.speed import times_faster
from smart_speed.run_folder import Answer, RunManifest

_COLUMNS = 4
"""Of one run: tokens and seconds of a condition, and of plain decoding."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two."""

    run: LoadedRun
    figures: Mapping[str, Any]
    answers: Mapping[str, Sequence[Answer]]
    """By condition, to prompts that all have answered, without repeats."""
    prompt_ids: frozenset[str]

    @property
    def plain(self) -> str | None:
        """The condition that decodes plainly."""
        name: str | None = self.figures["run"]["baselines"]["plain"]
        return name


def compare_runs(first: Path, second: Path) -> dict[str, Any]:
    """Return two runs' speeds over plain decoding, on the conditions and tasks of both.

    With INTERVAL for {"value", "low", "high"}, 95 %, a bootstrap over prompts::

        {"schema": 1, "runs": [{"folder", "name", "engine", "verifier", "drafter", "machine"}, …],
         "tasks": [TASK, …], "same_prompts", "same_machine", "comparable", "sentence",
         "only_in": [[CONDITION, …], […]],
         "conditions": {NAME: {"same_settings",
                               "overall": FIGURES, "by_task": {TASK: FIGURES}}}}

    FIGURES is {"speedup_over_plain": [INTERVAL, INTERVAL], "tokens_per_decode_s": [.., ..],
    "difference": INTERVAL of the second speed-up less the first, or null where prompts or machine
    differ}; overall, speed-ups and difference are means of the tasks'.

    Args:
        first: Folder of a run.
        second: Folder of another one.

    Raises:
        ConfigError: If a folder holds no run, or the two share no condition or no task.
    """
    tasks = _shared_tasks(first, second)
    sides = [_side(folder, tasks) for folder in (first, second)]
    names = [each.run.manifest.conditions for each in sides]
    shared = [name for name in names[0] if name in names[1]]
    check_that(bool(shared), "conditions of two runs", "partly the same", [*names[0]][:5])
    same_prompts = _same_prompts(sides)
    machines = [each.figures["run"]["machine"] for each in sides]
    same_machine = machines[0] == machines[1] and machines[0] is not None
    comparable = same_prompts and same_machine
    return {
        "schema": 1,
        "runs": [_about(each) for each in sides],
        "tasks": tasks,
        "same_prompts": same_prompts,
        "same_machine": same_machine,
        "comparable": comparable,
        "sentence": _sentence(same_prompts=same_prompts, same_machine=same_machine),
        "only_in": [
            [name for name in own if name not in other] for own, other in (names, reversed(names))
        ],
        "conditions": {
            name: {
                "same_settings": names[0][name].config == names[1][name].config,
                **_figures(name, sides, tasks, comparable=comparable),
            }
            for name in shared
        },
    }


def _shared_tasks(first: Path, second: Path) -> list[str]:
    ours, theirs = (
        dict.fromkeys(each.task for each in load_run(folder).manifest.prompts)
        for folder in (first, second)
    )
    tasks = [task for task in ours if task in theirs]
    check_that(bool(tasks), "tasks of two runs", "partly the same", [*ours, *theirs][:6])
    return tasks


def _side(folder: Path, tasks: Sequence[str]) -> Side:
    run = load_run(folder)
    usual = [each for each in usual_answers(run.answers) if each.task in tasks]
    return Side(
        run=run,
        figures=evaluate_run(folder, tasks=tasks),
        answers=shared_answers(run.manifest, usual),
        prompt_ids=frozenset(prompts_of_all(run.manifest, usual)),
    )


def _same_prompts(sides: Sequence[Side]) -> bool:
    """Return whether both answered the same prompts; names alone say little where hashes differ."""
    first, second = sides
    hashes = [each.run.manifest.about.get("prompts_sha256") for each in sides]
    if len(first.run.manifest.prompts) == len(second.run.manifest.prompts):
        differ = None not in hashes and hashes[0] != hashes[1]
        if differ and _ordered(first.run.manifest) == _ordered(second.run.manifest):
            return False
    return bool(first.prompt_ids) and first.prompt_ids == second.prompt_ids


def _ordered(manifest: RunManifest) -> list[str]:
    return [each.prompt_id for each in manifest.prompts]


def _about(side: Side) -> dict[str, Any]:
    run = side.figures["run"]
    return {
        "folder": str(side.run.folder),
        "name": run["name"],
        "engine": run["engine"],
        "verifier": run["verifier"]["name"],
        "drafter": run["drafter"]["name"],
        "machine": run["machine"],
        "num_prompts": run["num_prompts_evaluated"],
    }


def _sentence(*, same_prompts: bool, same_machine: bool) -> str:
    if same_prompts and same_machine:
        return (
            "Same prompts, same machine: differences are of speeds over plain decoding, paired by "
            "prompt."
        )
    what = "prompts and machine" if not (same_prompts or same_machine) else (
        "machine" if same_prompts else "prompts"
    )  # fmt: skip
    return (
        f"The two runs differ in their {what}, so their seconds say nothing about each other: "
        "only each run's ratios over its own plain decoding are shown, and no difference."
    )


def _figures(
    name: str, sides: Sequence[Side], tasks: Sequence[str], *, comparable: bool
) -> dict[str, Any]:
    found = [each.figures["conditions"][name] for each in sides]
    known = [task for task in tasks if all(task in each["by_task"] for each in found)]
    tables = {task: _table(name, sides, task) for task in known} if comparable else {}

    def beside(figures: Sequence[Mapping[str, Any]], own: Sequence[np.ndarray]) -> dict[str, Any]:
        return {
            "speedup_over_plain": [each["speedup_over_plain"] for each in figures],
            "tokens_per_decode_s": [each["tokens_per_decode_s"] for each in figures],
            "difference": bootstrap_mean(own, _difference).to_json() if own else None,
        }

    return {
        "overall": beside([each["overall"] for each in found], list(tables.values())),
        "by_task": {
            task: beside(
                [each["by_task"][task] for each in found], [tables[task]] if comparable else []
            )
            for task in known
        },
    }


def _table(name: str, sides: Sequence[Side], task: str) -> np.ndarray:
    """Return a row for each prompt: four columns of the first run, four of the second."""
    rows: dict[str, np.ndarray] = {}
    for at, side in enumerate(sides):
        for offset, condition in ((0, name), (2, side.plain)):
            start = at * _COLUMNS + offset
            for each in side.answers.get(condition or "", ()):
                if each.task == task:
                    row = rows.setdefault(each.prompt_id, np.zeros(2 * _COLUMNS))
                    row[start : start + 2] += (each.record.output_len, each.record.decode_s)
    whole = [row for row in rows.values() if (row > 0).all()]
    return np.array(whole, dtype=np.float64).reshape(-1, 2 * _COLUMNS)


def _difference(sums: np.ndarray) -> np.ndarray:
    """Return the second run's speed over plain decoding less the first's."""
    return np.asarray(times_faster(sums[..., _COLUMNS:]) - times_faster(sums))
