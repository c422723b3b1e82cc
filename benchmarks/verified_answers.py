"""A verifier's own greedy answers, kept in a file, so that every drafter is judged on the same."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.resumable import ResumableRows
from benchmarks.unseen_prompts import UnseenPrompt
from smart_speed.engines.base import LoadedModel
from smart_speed.engines.vocabulary import vocabulary_fingerprint
from smart_speed.prompting import encode_prompt
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.training.drafter_scores import VerifiedAnswer

_BLOCK_SIZE = 32
"""Prompts that the hf engine answers side by side."""

_Tokens = list[int]


def verified_answers(
    verifier: LoadedModel,
    prompts: Sequence[UnseenPrompt],
    path: Path,
    *,
    max_new_tokens: int,
    progress: Callable[[int, int], None],
) -> list[VerifiedAnswer]:
    """Have a verifier answer prompts greedily, leaving out what the file holds already.

    Args:
        verifier: Its engine writes the answers: hf many at once, others one after the other.
        prompts: What to answer.
        path: JSON lines.
        max_new_tokens: The most tokens of an answer.
        progress: Called with the number of answers so far, and of all.

    Raises:
        ConfigError: If the file holds answers of another verifier, or of other length.
    """
    settings = {
        "verifier": Path(verifier.path).name,
        "engine": verifier.engine,
        "vocabulary_sha256": vocabulary_fingerprint(verifier.tokenizer),
        "max_new_tokens": max_new_tokens,
    }
    file = ResumableRows(path, settings)
    done = {row["prompt_id"] for row in file.rows}
    todo = [
        (prompt, encode_prompt(prompt.prompt, verifier))
        for prompt in prompts
        if prompt.prompt_id not in done
    ]
    todo.sort(key=lambda item: len(item[1]))
    answer = _side_by_side if verifier.engine == "hf" else _one_by_one
    made = answer(verifier, [tokens for _, tokens in todo], max_new_tokens)
    for number, ((prompt, tokens), answered) in enumerate(zip(todo, made, strict=True), 1):
        file.add({"prompt_id": prompt.prompt_id, "prompt": tokens, "answer": answered})
        progress(len(prompts) - len(todo) + number, len(prompts))
    kept = {row["prompt_id"]: row for row in file.rows}
    return [_answer(prompt.task, kept[prompt.prompt_id]) for prompt in prompts]


def _answer(task: str, row: dict[str, Any]) -> VerifiedAnswer:
    return VerifiedAnswer(task=task, prompt=row["prompt"], answer=row["answer"])


def _one_by_one(
    verifier: LoadedModel, prompts: Sequence[_Tokens], max_new_tokens: int
) -> Iterator[_Tokens]:
    decoder = EntropyBasedSpeculativeDecoder(verifier)
    for prompt in prompts:
        yield list(decoder.generate(prompt, max_new_tokens=max_new_tokens).tokens)


def _side_by_side(
    verifier: LoadedModel, prompts: Sequence[_Tokens], max_new_tokens: int
) -> Iterator[_Tokens]:
    import torch

    from smart_speed.engines.hf import HfModel
    from smart_speed.training.answering import answer_block

    assert isinstance(verifier.model, HfModel)
    for start in range(0, len(prompts), _BLOCK_SIZE):
        block = prompts[start : start + _BLOCK_SIZE]
        answers = answer_block(
            verifier.model.network,
            block,
            temperatures=[0.0] * len(block),
            max_new_tokens=max_new_tokens,
            eos_ids=verifier.tokenizer.eos_ids,
            top=1,
            generator=torch.Generator(),
        )
        yield from (answer.tokens.tolist() for answer in answers)
