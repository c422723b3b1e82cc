"""Runs with a planted truth, in memory: speeds of conditions, and traces with known thresholds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from smart_speed.loaded_run import LoadedRun
from smart_speed.profiles import Profile
from smart_speed.run_folder import Answer, ConditionInfo, PromptInfo, Role, RunManifest
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.prepared import PreparedTrace
from tests.unit.answered import answer
from tests.unit.planted import planted_trace

TASKS = ("chat", "code", "math", "news", "open", "talk")
ROLES: Mapping[str, Role] = {
    "plain": "plain",
    "fixed-4": "fixed",
    "fixed-6": "fixed",
    "fixed-best": "tuned-fixed",
    "absolute": "entropy",
    "window": "entropy",
    "specdec_pp": "rival",
}
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "plain": {"strategy": "plain"},
    "fixed-4": {"strategy": "fixed", "max_draft_len": 4},
    "fixed-6": {"strategy": "fixed", "max_draft_len": 6},
    "fixed-best": {"strategy": "fixed", "max_draft_len": 2},
    "absolute": {"strategy": "absolute", "theta_abs": 1.5},
    "window": {"strategy": "window", "theta_abs": 1.5},
    "specdec_pp": {"strategy": "specdec_pp", "calibration": {}, "entropy_type": "shannon"},
}
LEARNED: dict[str, dict[str, Any]] = {
    "strategies": {
        "fixed": {"curves": {"max_draft_len": [[2, 95.0], [4, 90.0], [6, 70.0]]}},
        "absolute": {"settings": {"strategy": "absolute", "theta_abs": 1.0, "max_draft_len": 4}},
        "relative": {"settings": {"strategy": "relative", "theta_rel": 1.5, "max_draft_len": 4}},
    },
    "predicted": {
        "absolute, learned": {"speed": {"value": 1.2}},
        "window, learned": {"speed": {"value": 1.1}},
        "specdec_pp, default": {"speed": {"value": 1.3}},
    },
}
"""What the profile of a simulated run says; "absolute" was the faster of the two strategies."""
COSTS = CostModel(
    drafter_step_s=0.25, verifier_pass_s={1: 1.0, 2: 1.1, 3: 1.2, 4: 1.3, 5: 1.4, 6: 1.5}
)


def loaded(
    names: Sequence[str],
    prompts: Mapping[str, str],
    *,
    answers: Sequence[Answer] = (),
    learned: Mapping[str, Any] | None = LEARNED,
    texts: Sequence[PreparedTrace] = (),
    costs: CostModel | None = COSTS,
) -> LoadedRun:
    """Return a run with everything read.

    Args:
        names: Of its conditions.
        prompts: Task of each.
        answers: As they would be read.
        learned: Of its profile; ``None`` for a run without one.
        texts: Of its traces.
        costs: Measured, if they were.
    """
    conditions = {
        name: ConditionInfo(
            role=ROLES[name],
            config=CONFIGS[name],
            learned=ROLES[name] in ("tuned-fixed", "entropy"),
        )
        for name in names
    }
    manifest = RunManifest(
        name="simulated",
        config={},
        conditions=conditions,
        prompts=tuple(PromptInfo(prompt_id=key, task=task) for key, task in prompts.items()),
        calibration_prompt_ids=(),
        repeats=1,
        verifier={"name": "large"},
        drafter={"name": "planted"},
        engine="toy",
        sampling={},
    )
    run = LoadedRun(Path("nowhere"), manifest)
    profile = None if learned is None else Profile(config={"strategy": "other"}, learned=learned)
    vars(run).update(answers=list(answers), profile=profile, texts=list(texts), costs=costs)
    return run


def timed(name: str, prompt_id: str, output_len: int, decode_s: float, **fields: Any) -> Answer:
    """Return an answer of which nothing but tokens and seconds counts."""
    return answer(
        condition=name, prompt_id=prompt_id, output_len=output_len, decode_s=decode_s, **fields
    )


def timed_run(
    speeds: Mapping[str, float | Sequence[float]],
    *,
    num_prompts: int = 12,
    spread: float = 0.03,
    seed: int = 0,
    tasks: Sequence[str] = TASKS,
    learned: Mapping[str, Any] | None = LEARNED,
) -> LoadedRun:
    """Return a run whose conditions have known speeds.

    Args:
        speeds: By condition, the same for all tasks or one for each.
        num_prompts: Of each task.
        spread: Of the logarithm of each answer's seconds.
        seed: Of that.
        tasks: To be answered.
        learned: Of the profile.
    """
    rng = np.random.default_rng(seed)
    answers, prompts = [], {}
    for at, task in enumerate(tasks):
        for number in range(num_prompts):
            prompt_id = f"{task}/{number}"
            prompts[prompt_id] = task
            length = int(rng.integers(20, 100))
            for name, speed in speeds.items():
                own = speed if isinstance(speed, float) else speed[at]
                seconds = length / own * float(np.exp(spread * rng.normal()))
                answers.append(timed(name, prompt_id, length, seconds, task=task))
    return loaded(list(speeds), prompts, answers=answers, learned=learned)


def traced_run(traces: Sequence[Any], **fields: Any) -> LoadedRun:
    """Return a run with some traces; other fields are those of ``loaded``."""
    prompts = {each.prompt_id: each.task for each in traces}
    return loaded([], prompts, texts=[PreparedTrace(each) for each in traces], **fields)


def trace_with(
    task: str,
    number: int,
    nats: Any,
    agrees: Any,
    *,
    verifier_nats: float = 0.7,
    verifier_prob: float = 0.6,
) -> Any:
    """Return a trace of a prompt with known entropies of both models."""
    count = len(nats)
    trace = planted_trace(
        agrees,
        task=task,
        prompt_id=f"{task}/{number}",
        max_draft_len=4,
        entropies_nats=nats,
    )
    return replace(
        trace,
        verifier_entropy_nats=np.full(count, verifier_nats),
        verifier_top_prob=np.full(count, verifier_prob),
    )
