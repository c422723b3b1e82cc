"""A small run of toy models in files, timed by a cost model: what reports are tested on."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from smart_speed.config import EntropyConfig
from smart_speed.profiles import Profile
from smart_speed.records import RoundRecord, SequenceRecord
from smart_speed.run_folder import (
    CALIBRATION_NAME,
    TRACES_NAME,
    Answer,
    AnswerLog,
    ConditionInfo,
    PromptInfo,
    RunManifest,
    write_manifest,
)
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.tracing.trace_files import TraceFolder, TraceManifest
from tests.calibrations import CALIBRATION
from tests.unit.traced import costs_of, drafter_of, trace_of, verifier_of

COSTS = costs_of(0.1)
NEW_TOKENS = 24
TASKS = {"verse": 0, "prose": 2}
"""The seed of the toy pair that answers each task's prompts."""
NUM_PROMPTS = 6
CONDITIONS: Mapping[str, ConditionInfo] = {
    "plain": ConditionInfo(role="plain", config={"strategy": "plain"}),
    "fixed-4": ConditionInfo(role="fixed", config={"strategy": "fixed", "max_draft_len": 4}),
    "fixed-best": ConditionInfo(
        role="tuned-fixed", config={"strategy": "fixed", "max_draft_len": 2}, learned=True
    ),
    "absolute": ConditionInfo(
        role="entropy",
        config={"strategy": "absolute", "theta_abs": 1.0, "max_draft_len": 8},
        learned=True,
    ),
    "calibrated": ConditionInfo(
        role="calibrated",
        config={
            "strategy": "calibrated",
            "calibration": CALIBRATION.to_json(),
            "max_draft_len": 8,
        },
        learned=True,
    ),
}
PROFILE = Profile(
    config={"strategy": "calibrated"},
    verifier={"name": "toy", "id": "v"},
    drafter={"name": "model", "id": "d"},
    engine="toy",
    learned={
        "measured": {"costs": COSTS.to_json()},
        "strategies": {
            "fixed": {
                "settings": {"strategy": "fixed", "max_draft_len": 2},
                "curves": {"max_draft_len": [[1, 1.0], [2, 1.2], [4, 0.9]]},
            },
            "absolute": {
                "settings": {"strategy": "absolute", "theta_abs": 1.0, "max_draft_len": 8},
                "curves": {"theta_abs": [[0.5, 1.0], [1.0, 1.3], [2.0, 1.1]]},
            },
        },
        "predicted": {
            "calibrated": {"speed": {"value": 1.3, "low": 1.1, "high": 1.5}},
            "absolute, learned": {"speed": {"value": 1.2, "low": 1.1, "high": 1.3}},
        },
    },
)


def prompt_tokens(number: int) -> tuple[int, ...]:
    return (0, 1 + number, 3, number)


def write_run(
    folder: Path,
    *,
    names: Mapping[str, str] | None = None,
    with_profile: bool = True,
    with_traces: bool = True,
    most_answers: int | None = None,
    slower: float = 1.0,
    machine: str = "here",
    conditions: Mapping[str, ConditionInfo] = CONDITIONS,
    tasks: Mapping[str, int] = TASKS,
) -> RunManifest:
    """Write a run.

    Args:
        folder: Where to.
        names: Other names of tasks and of prompts.
        most_answers: Stop after so many, as a run that was killed.
        slower: Factor of the seconds of all conditions but plain decoding.
    """
    named = names or {}
    prompts = [
        PromptInfo(prompt_id=named.get(f"{task}-{at}", f"{task}-{at}"), task=named.get(task, task))
        for task in tasks
        for at in range(NUM_PROMPTS)
    ]
    manifest = RunManifest(
        name="a small run",
        config={"dataset_name": ["verse", "prose"], "dataset_split": "test", "max_new_tokens": 32},
        conditions=dict(conditions),
        prompts=tuple(prompts),
        calibration_prompt_ids=("other-0", "other-1"),
        repeats=1,
        verifier={"name": "toy", "id": "v", "description": "letters, order 2"},
        drafter={"name": "model", "id": "d"},
        engine="toy",
        sampling={"temperature": 0.0},
        about={"argv": ["smart-speed", "experiment"], "date": "2026-05-04T10:00:00+00:00"},
    )
    write_manifest(folder, manifest)
    _write_answers(folder, manifest, tasks, most_answers, slower, machine)
    if with_profile:
        PROFILE.write(folder / CALIBRATION_NAME / "profile.json")
    if with_traces:
        _write_traces(folder / TRACES_NAME, prompts, tasks)
    return manifest


def _write_answers(
    folder: Path,
    manifest: RunManifest,
    tasks: Mapping[str, int],
    most: int | None,
    slower: float,
    machine: str,
) -> None:
    log = AnswerLog(folder)
    left = most if most is not None else 10**6
    for at, prompt in enumerate(manifest.prompts):
        seed = list(tasks.values())[at // NUM_PROMPTS]
        for name, info in manifest.conditions.items():
            if left <= 0:
                break
            left -= 1
            log.add(answer_of(name, info, seed, at % NUM_PROMPTS, prompt, slower, machine))
    log.close()


def answer_of(
    name: str,
    info: ConditionInfo,
    seed: int,
    number: int,
    prompt: PromptInfo,
    slower: float,
    machine: str,
) -> Answer:
    record, tokens = _answered(json.dumps(dict(info.config)), seed, number)
    record = replace(record, condition=name, prompt_id=prompt.prompt_id)
    return Answer(
        record=_timed(record, 1.0 if name == "plain" else slower),
        prompt_id=prompt.prompt_id,
        task=prompt.task,
        turn=0,
        repeat=0,
        tokens=tokens,
        machine=machine,
        peak_memory_bytes=2**30,
    )


@cache
def _answered(config: str, seed: int, number: int) -> tuple[SequenceRecord, tuple[int, ...]]:
    settings = EntropyConfig.from_dict(json.loads(config))
    decoder = EntropyBasedSpeculativeDecoder(verifier_of(seed), drafter_of("model", seed), settings)
    result = decoder.generate(list(prompt_tokens(number)), max_new_tokens=NEW_TOKENS)
    return result.record, tuple(result.tokens)


def _timed(record: SequenceRecord, slower: float) -> SequenceRecord:
    rounds = tuple(_timed_round(turn, slower) for turn in record.rounds)
    seconds = sum(turn.round_s for turn in rounds)
    return replace(record, rounds=rounds, prefill_s=0.5, decode_s=seconds)


def _timed_round(turn: RoundRecord, slower: float) -> RoundRecord:
    passes = len(turn.entropies_nats)
    return replace(
        turn,
        drafter_s=slower * passes * COSTS.drafter_step_s,
        entropy_s=slower * passes * 0.001,
        strategy_s=slower * passes * 0.0005,
        verifier_s=slower * COSTS.pass_s(turn.draft_len + 1),
        round_s=slower * COSTS.round_s(passes, turn.draft_len),
    )


def _write_traces(folder: Path, prompts: list[PromptInfo], tasks: Mapping[str, int]) -> None:
    manifest = TraceManifest(
        models={"verifier": {"name": "toy"}, "drafters": {"model": {"name": "model"}}},
        engine="toy",
        settings={"max_draft_len": 8},
        prompt_ids=tuple(each.prompt_id for each in prompts),
        prompts_sha256="0",
    )
    traces = TraceFolder(folder, manifest)
    traces.open()
    for at, prompt in enumerate(prompts):
        seed = list(tasks.values())[at // NUM_PROMPTS]
        trace = trace_of("model", seed, prompt_tokens(at % NUM_PROMPTS), max_new_tokens=NEW_TOKENS)
        traces.write([replace(trace, prompt_id=prompt.prompt_id, task=prompt.task)])
    traces.finish()


def add_failure(folder: Path, answer: Answer, error: str) -> None:
    """Add a failed answer to a run's file."""
    record: Any = replace(
        answer.record, status="error", error=error, rounds=(), output_len=0, decode_s=0.0,
        finish_reason=None,
    )  # fmt: skip
    log = AnswerLog(folder)
    log.add(replace(answer, record=record, tokens=(), repeat=1))
    log.close()
