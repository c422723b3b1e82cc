"""A tiny transformers model answers a block of prompts, and is judged by another."""

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from benchmarks.unseen_prompts import UnseenPrompt
from benchmarks.verified_answers import verified_answers
from smart_speed.engines.base import LoadedModel
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.training.drafter_quality import judge_drafter
from smart_speed.training.drafter_scores import VerifiedAnswer
from tests.contract.tiny_hf import TEXT, build, loaded, shaken

PROMPTS = [
    UnseenPrompt(prompt_id=str(length), task="toy", prompt=TEXT[:length]) for length in (9, 4, 7)
]


def answered(verifier: LoadedModel, folder: Path) -> list[VerifiedAnswer]:
    return verified_answers(
        verifier,
        PROMPTS,
        folder / "answers.jsonl",
        max_new_tokens=12,
        progress=lambda done, total: None,
    )


def test_a_block_is_answered_as_one_by_one_and_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    verifier = loaded(build("Llama"))
    answers = answered(verifier, tmp_path)
    decoder = EntropyBasedSpeculativeDecoder(verifier)
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        assert list(answer.prompt) == prompt.prompt
        expected = decoder.generate(prompt.prompt, max_new_tokens=12).tokens
        assert tuple(answer.answer) == expected


def test_a_drafter_is_judged_in_one_pass(tmp_path: Path) -> None:
    verifier = loaded(build("Llama"))
    answers = answered(verifier, tmp_path)
    same = judge_drafter(verifier, loaded(build("Llama")), answers).mean
    other = judge_drafter(
        verifier, loaded(shaken(build("Llama"), seed=1, strength=0.5)), answers
    ).mean
    assert (same.agreement.value, same.greedy_share) == (1, 1)
    assert same.overlap.value == pytest.approx(1, abs=1e-4)
    assert other.agreement.value < 1
    assert 0 < other.overlap.value < 0.99
