"""Runs written by hand: rounds, answers and folders from what a test says of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from smart_speed.records import RoundRecord, SequenceRecord
from smart_speed.run_folder import (
    ANSWERS_NAME,
    Answer,
    ConditionInfo,
    PromptInfo,
    RunManifest,
    write_manifest,
)


def turn(
    drafted: int = 0,
    accepted: int = 0,
    *,
    emitted: int | None = None,
    entropies_nats: Sequence[float] | None = None,
    top_probs: Sequence[float] | None = None,
    stop_reason: str = "max_draft_len",
    **seconds: float,
) -> RoundRecord:
    """Return a round; seconds that are not given are 0, those of the whole round 1."""
    nats = tuple(entropies_nats) if entropies_nats is not None else (0.5,) * drafted
    names = ("drafter_s", "entropy_s", "strategy_s", "verifier_s")
    timed: dict[str, Any] = {**dict.fromkeys(names, 0.0), "round_s": 1.0, **seconds}
    return RoundRecord(
        context_len=10,
        entropies_nats=nats,
        top_probs=tuple(top_probs) if top_probs is not None else (0.5,) * len(nats),
        draft_len=drafted,
        accepted_len=accepted,
        emitted_len=accepted + 1 if emitted is None else emitted,
        stop_reason=stop_reason,
        **timed,
    )


def record(
    *rounds: RoundRecord,
    condition: str = "plain",
    prompt_id: str = "a",
    decode_s: float | None = None,
    output_len: int | None = None,
    error: str | None = None,
    prefill_s: float = 0.25,
) -> SequenceRecord:
    """Return a sequence; its length and seconds are those of its rounds unless they are given."""
    emitted = sum(each.emitted_len for each in rounds)
    return SequenceRecord(
        condition=condition,
        prompt_id=prompt_id,
        seed=0,
        status="error" if error else "ok",
        lossless=True,
        engine="toy",
        prompt_len=10,
        reused_len=0,
        output_len=emitted if output_len is None else output_len,
        finish_reason=None if error else "length",
        prefill_s=prefill_s,
        decode_s=sum((each.round_s for each in rounds), 0.0) if decode_s is None else decode_s,
        rounds=rounds,
        error=error,
    )


def answer(
    *rounds: RoundRecord,
    condition: str = "plain",
    prompt_id: str = "a",
    task: str = "code",
    turn: int = 0,
    repeat: int = 0,
    tokens: Sequence[int] = (),
    machine: str = "here",
    **fields: Any,
) -> Answer:
    """Return an answer; other fields are those of its record."""
    of_turn = f"{prompt_id}/turn-{turn + 1}" if turn else prompt_id
    return Answer(
        record=record(*rounds, condition=condition, prompt_id=of_turn, **fields),
        prompt_id=prompt_id,
        task=task,
        turn=turn,
        repeat=repeat,
        tokens=tuple(tokens),
        machine=machine,
    )


def write_run(
    folder: Path,
    answers: Sequence[Answer],
    *,
    roles: Mapping[str, Any] | None = None,
    prompts: Sequence[PromptInfo] | None = None,
    repeats: int = 1,
    temperature: float = 0.0,
) -> Path:
    """Write a run's folder.

    Args:
        folder: Where to.
        answers: In their order.
        roles: Of each condition; from the answers if not given, "rival" but for plain decoding.
        prompts: Those that the answers have if not given.
        repeats: As planned.
        temperature: Of the sampling.
    """
    names = dict.fromkeys(each.record.condition for each in answers)
    roles = roles or {name: "plain" if name == "plain" else "rival" for name in names}
    tasks = {each.prompt_id: each.task for each in answers}
    manifest = RunManifest(
        name="by hand",
        config={},
        conditions={
            name: ConditionInfo(role=role, config={}, lossless=role != "lossy")
            for name, role in roles.items()
        },
        prompts=tuple(prompts or (PromptInfo(prompt_id=key, task=tasks[key]) for key in tasks)),
        calibration_prompt_ids=(),
        repeats=repeats,
        verifier={"name": "large", "id": "1", "description": "toy"},
        drafter={"name": "small", "id": "2", "description": "toy"},
        engine="toy",
        sampling={"temperature": temperature, "seed": 0},
    )
    write_manifest(folder, manifest)
    lines = "".join(each.to_line() + "\n" for each in answers)
    (folder / ANSWERS_NAME).write_text(lines, encoding="utf-8")
    return folder
