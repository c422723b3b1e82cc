from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from smart_speed.training.answering import Answer, answer_block  # noqa: E402
from tests.contract.tiny_hf import VOCAB_SIZE, build, greedy_text  # noqa: E402

KINDS = ("Llama", "Qwen2", "GPT2", "Mistral", "Gemma2")
PROMPTS = [np.random.default_rng(at).integers(5, 30, size=at).tolist() for at in (3, 9, 4, 9, 6)]


def answers(
    network: Any,
    temperatures: Sequence[float] = (0.0,) * 5,
    *,
    eos_ids: frozenset[int] = frozenset(),
    count: int = 20,
    seed: int = 0,
) -> list[Answer]:
    return answer_block(
        network,
        PROMPTS,
        temperatures=temperatures,
        max_new_tokens=count,
        eos_ids=eos_ids,
        top=4,
        generator=torch.Generator().manual_seed(seed),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_answers_as_each_prompt_alone_would_be(kind: str) -> None:
    network = build(kind)
    before = network.config._attn_implementation
    for prompt, answer in zip(PROMPTS, answers(network), strict=True):
        assert answer.tokens.tolist() == greedy_text(network, prompt, 20)
        assert answer.tokens.tolist() == answer.top_ids[:, 0].tolist()
    assert network.config._attn_implementation == before


@pytest.mark.parametrize("kind", KINDS)
def test_answers_end_with_their_end_and_leave_the_others_alone(kind: str) -> None:
    network = build(kind)
    whole = [greedy_text(network, prompt, 20) for prompt in PROMPTS]
    ends = frozenset({whole[0][4], whole[3][7]})
    for text, answer in zip(whole, answers(network, eos_ids=ends), strict=True):
        first = next((at for at, token in enumerate(text) if token in ends), 19)
        assert answer.tokens.tolist() == text[: first + 1]


def test_the_law_is_the_whole_law_at_the_answers_positions() -> None:
    network = build("Llama")
    for prompt, answer in zip(PROMPTS, answers(network, (0.0, 1.0, 0.7, 2.0, 0.0)), strict=True):
        text = torch.tensor([[*prompt, *answer.tokens]])
        with torch.inference_mode():
            laws = network(text).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        expected = laws.topk(4)
        np.testing.assert_array_equal(answer.top_ids, expected.indices)
        np.testing.assert_allclose(answer.top_logprobs, expected.values, atol=2e-3)
        assert all(token in ids for token, ids in zip(answer.tokens, answer.top_ids, strict=True))


def test_draws_follow_the_temperature_and_the_seed() -> None:
    network = build("Llama")
    hot = (2.0,) * 5
    drawn = [[each.tokens.tolist() for each in answers(network, hot, seed=at)] for at in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] != [each.tokens.tolist() for each in answers(network)]
    assert max(map(max, drawn[0])) < VOCAB_SIZE
