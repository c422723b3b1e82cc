"""From a run's records and answers to one document of figures; no model, no trace.

Formulas stand once, in ``smart_speed.metrics``; docs/metrics.md works them by hand.
"""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from smart_speed.checks.sandbox import run_program
from smart_speed.errors import unknown_name
from smart_speed.metrics.answers import (
    by_condition,
    by_task,
    check_one_machine,
    prompts_of_all,
    shared_answers,
    usual_answers,
)
from smart_speed.metrics.fidelity import beside, exact_partner, fidelity_figures
from smart_speed.metrics.figures import condition_figures
from smart_speed.metrics.intervals import Interval, bootstrap, bootstrap_mean, ratio_of_medians
from smart_speed.metrics.rates import (
    Records,
    acceptance_rate,
    drafter_passes,
    drafter_passes_per_token,
    empty_draft_share,
    mean_draft_len,
    mean_emitted_len,
)
from smart_speed.metrics.sameness import sameness_of
from smart_speed.metrics.seconds import (
    entropy_share,
    overhead_share,
    strategy_share,
    time_per_output_token_s,
    tokens_per_decode_s,
)
from smart_speed.metrics.speed import (
    answers_speedup,
    mean_answers_speedup,
    mean_speedup,
    speedup,
)
from smart_speed.metrics.task_scores import Checker, checker_of, task_scores
from smart_speed.run_folder import (
    Answer,
    Role,
    RunManifest,
    read_answers,
    read_manifest,
    read_outcomes,
    write_outcomes,
)

__all__ = [
    "Interval",
    "Records",
    "acceptance_rate",
    "answers_speedup",
    "bootstrap",
    "bootstrap_mean",
    "drafter_passes",
    "drafter_passes_per_token",
    "empty_draft_share",
    "entropy_share",
    "evaluate_run",
    "mean_answers_speedup",
    "mean_draft_len",
    "mean_emitted_len",
    "mean_speedup",
    "overhead_share",
    "ratio_of_medians",
    "run_programs",
    "speedup",
    "strategy_share",
    "time_per_output_token_s",
    "tokens_per_decode_s",
]

SCHEMA = 1
"""Version of the document made here."""


def evaluate_run(
    folder: Path, *, tasks: Sequence[str] | None = None, machine: str | None = None
) -> dict[str, Any]:
    """Return every figure of a run, as a document of JSON values; what is not known is null.

    The document, with INTERVAL for {"value", "low", "high"}, 95 %, of a bootstrap over prompts,
    and QUANTILES for {"p50", "p90", "p99"}::

        {"schema": 1,
         "run": {"name", "engine", "verifier": {…}, "drafter": {…}, "sampling": {…}, "repeats",
                 "machine", "num_prompts", "num_prompts_evaluated", "num_answers",
                 "num_answers_planned", "complete", "peak_memory_bytes",
                 "baselines": {"plain": NAME, "fixed_best": NAME}},
         "tasks": [TASK, …],
         "conditions": {NAME: {"role", "group", "learned", "lossless", "config", "num_failed",
                               "overall": FIGURES, "by_task": {TASK: FIGURES}}},
         "identity": {"baseline": NAME, "compared", "reason",
                      "conditions": {NAME: {"num_compared", "num_same", "num_left_out",
                          "differences": [{"prompt_id", "task", "turn", "repeat", "position",
                                           "tokens": [PLAIN'S, ITS OWN]}]}}},
         "fidelity": {"exact_text": NAME, "texts_compared",
                      "conditions": {NAME: {"exact_partner": NAME, "overall": FIDELITY,
                                            "by_task": {TASK: FIDELITY}}}},
         "task_scores": {"num_programs_to_run",
                         "conditions": {NAME: {TASK: {"num_checked", "num_right",
                                                      "score": INTERVAL}}}},
         "failures": {"num_failed", "answers": [{"condition", "prompt_id", "task", "turn",
                                                 "repeat", "error"}]}}

    "fidelity" has the lossy conditions alone; FIDELITY is the document of
    ``smart_speed.metrics.fidelity.fidelity_figures``. Answers are checked where their prompts come
    with what makes them right; programs in them only once ``smart-speed evaluate --run-code`` has
    run them.

    FIGURES is the document of ``smart_speed.metrics.figures.condition_figures``, with two more:
    "speedup_over_plain" and "speedup_over_fixed_best", each an INTERVAL. Those of "overall" are the
    means of the tasks'; it has "pooled_speedup_over_plain" and "pooled_speedup_over_fixed_best" as
    well. "compared" is false, and "reason" says why, where texts need not be the same. "tasks"
    names those with a prompt that was evaluated.

    Conditions are compared on the prompts that all of them have answered; one without any answer
    is not waited for. Of repeats the one of median decode time counts. But "identity" compares the
    texts of all repeats, those of plain decoding as well.

    Args:
        folder: Of the run.
        tasks: Those to look at; ``None`` means all.
        machine: Whose answers are looked at, where several have made some.

    Raises:
        ConfigError: If the folder holds no run, a task, machine or condition is unknown, or
            answers were timed on different machines.
    """
    manifest, answers = read_manifest(folder), read_answers(folder)
    looked_at = _looked_at(manifest, answers, tasks, machine)
    timed_on = check_one_machine(looked_at)
    usual = usual_answers(looked_at)
    shared = dict.fromkeys(prompts_of_all(manifest, usual))
    compared = _Compared(
        answers=shared_answers(manifest, usual),
        tasks=list(
            dict.fromkeys(each.task for each in manifest.prompts if each.prompt_id in shared)
        ),
        baselines={
            "plain": _name_of(manifest, "plain"),
            "fixed_best": _name_of(manifest, "tuned-fixed"),
        },
    )
    answered = [each for each in looked_at if each.record.status == "ok"]
    failed = [each for each in looked_at if each.record.status == "error"]
    checker = checker_of(manifest, read_outcomes(folder))
    return {
        "schema": SCHEMA,
        "run": {
            **_about(manifest, looked_at, tasks),
            "machine": timed_on,
            "num_prompts_evaluated": len(shared),
            "baselines": compared.baselines,
        },
        "tasks": compared.tasks,
        "conditions": {
            name: {
                **asdict(info),
                "num_failed": sum(each.record.condition == name for each in failed),
                **compared.figures(name),
            }
            for name, info in manifest.conditions.items()
        },
        "identity": sameness_of(manifest, by_condition(answered, manifest.conditions)).to_json(),
        "fidelity": _fidelity(manifest, compared, checker),
        "task_scores": {
            "num_programs_to_run": len(checker.programs(usual)),
            "conditions": task_scores(compared.answers, compared.tasks, checker),
        },
        "failures": {"num_failed": len(failed), "answers": [_failure(each) for each in failed]},
    }


def run_programs(folder: Path, *, progress: Callable[[int, int], None] | None = None) -> int:
    """Run the programs in a run's answers against their tests, and keep what came of it.

    Each runs in a process of its own, within limits (``smart_speed.checks.sandbox``, which says
    why that is no security boundary). What was run before is not run again.

    Args:
        folder: Of the run.
        progress: Called with programs run and programs in all.

    Returns:
        How many were run.

    Raises:
        ConfigError: If the folder holds no run, or the system knows no limits.
        OutputError: If the outcomes cannot be written.
    """
    outcomes = read_outcomes(folder)
    checker = checker_of(read_manifest(folder), outcomes)
    programs = checker.programs(usual_answers(read_answers(folder)))
    for done, (key, program) in enumerate(programs.items(), 1):
        outcomes[key] = run_program(program).passed
        write_outcomes(folder, outcomes)
        if progress:
            progress(done, len(programs))
    return len(programs)


@final
@dataclass(frozen=True, kw_only=True)
class _Compared:
    """Answers that may be set side by side."""

    answers: Mapping[str, Sequence[Answer]]
    """By condition, to the same prompts."""
    tasks: Sequence[str]
    baselines: Mapping[str, str | None]

    def figures(self, name: str) -> dict[str, Any]:
        """Return the figures of a condition, on all prompts and on those of each task."""
        answers = self.answers[name]
        pooled: dict[str, Any] = {}
        overall, tasks = condition_figures(answers), by_task(answers, self.tasks)
        single = {task: condition_figures(each) for task, each in tasks.items()}
        for baseline, other in self.baselines.items():
            theirs = by_task(self.answers[other] if other else [], self.tasks)
            groups = {task: (tasks[task], theirs[task]) for task in self.tasks}
            key = f"speedup_over_{baseline}"
            pair = (answers, [each for part in theirs.values() for each in part])
            overall[key] = mean_answers_speedup(list(groups.values())).to_json()
            pooled[f"pooled_{key}"] = answers_speedup(*pair).to_json()
            for task, group in groups.items():
                single[task][key] = answers_speedup(*group).to_json()
        return {"overall": {**overall, **pooled}, "by_task": single}


def _looked_at(
    manifest: RunManifest,
    answers: Sequence[Answer],
    tasks: Sequence[str] | None,
    machine: str | None,
) -> list[Answer]:
    """Return the answers of some tasks that one machine made, and all failures."""
    known = {each.task for each in manifest.prompts}
    for task in tasks or ():
        if task not in known:
            raise unknown_name("task", task, known)
    machines = {each.machine for each in answers}
    if machine is not None and machine not in machines:
        raise unknown_name("machine", machine, machines)
    return [
        each
        for each in answers
        if (tasks is None or each.task in tasks)
        and (machine in (None, each.machine) or each.record.status == "error")
    ]


def _about(
    manifest: RunManifest, answers: Sequence[Answer], tasks: Sequence[str] | None
) -> dict[str, Any]:
    """Return what was run, and how much of it there is."""
    prompts = [each for each in manifest.prompts if tasks is None or each.task in tasks]
    turns = sum(each.num_turns for each in prompts)
    num_planned = turns * manifest.repeats * len(manifest.conditions)
    num_answers = sum(each.record.status == "ok" for each in answers)
    peaks = [each.peak_memory_bytes for each in answers if each.peak_memory_bytes is not None]
    return {
        "name": manifest.name,
        "engine": manifest.engine,
        "verifier": dict(manifest.verifier),
        "drafter": dict(manifest.drafter),
        "sampling": dict(manifest.sampling),
        "repeats": manifest.repeats,
        "num_prompts": len(prompts),
        "num_answers": num_answers,
        "num_answers_planned": num_planned,
        "complete": num_answers == num_planned,
        "peak_memory_bytes": max(peaks, default=None),
    }


def _name_of(manifest: RunManifest, role: Role) -> str | None:
    """Return the first condition of a role."""
    return next((name for name, info in manifest.conditions.items() if info.role == role), None)


def _fidelity(manifest: RunManifest, compared: _Compared, checker: Checker) -> dict[str, Any]:
    """Set every lossy condition beside the exact text, and beside the same drafts kept exact."""
    exact, same_texts = compared.baselines["plain"], _is_greedy(manifest)
    found: dict[str, Any] = {}
    for name, info in manifest.conditions.items():
        if info.lossless:
            continue
        partner = exact_partner(name, manifest.conditions)
        own, text, timed = (
            by_task(compared.answers[each] if each else [], compared.tasks)
            for each in (name, exact or partner, partner)
        )
        tables = {
            task: beside(own[task], text[task], timed[task], checker.is_right, texts=same_texts)
            for task in compared.tasks
        }
        found[name] = {
            "exact_partner": partner,
            "overall": fidelity_figures(list(tables.values())),
            "by_task": {task: fidelity_figures([each]) for task, each in tables.items()},
        }
    return {"exact_text": exact, "texts_compared": same_texts, "conditions": found}


def _is_greedy(manifest: RunManifest) -> bool:
    return not manifest.sampling.get("temperature", 0) > 0


def _failure(answer: Answer) -> dict[str, Any]:
    key = answer.key._asdict()
    return {**key, "task": answer.task, "error": answer.record.error}


if __name__ == "evaluation":
    # Imported by its bare name, with this folder on the path: be the package's own module.
    sys.modules[__name__] = importlib.import_module("smart_speed.evaluation")
