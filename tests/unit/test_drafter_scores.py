"""Two models at every position of a text, against plain loops that read it again each time."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from smart_speed.drafters.base import Drafter
from smart_speed.drafters.model import ModelDrafter
from smart_speed.drafters.ngram import NgramDrafter
from smart_speed.engines.base import LoadedModel
from smart_speed.engines.toy import TableModel
from smart_speed.errors import ConfigError, ContextLengthError, NonFiniteError
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.training.drafter_scores import VerifiedAnswer, score_answer

Pair = Callable[..., tuple[LoadedModel, LoadedModel]]

PROMPT = [1, 2, 3]


def answered(verifier: LoadedModel, count: int = 40, prompt: Sequence[int] = ()) -> VerifiedAnswer:
    given = list(prompt or PROMPT)
    result = EntropyBasedSpeculativeDecoder(verifier).generate(given, max_new_tokens=count)
    return VerifiedAnswer(task="toy", prompt=given, answer=result.tokens)


def trimmed(*, size: int = 4, context_len: int = 4096) -> ModelDrafter:
    """Build a drafter that knows tokens 0, 2 and 5 of six."""
    table = 2 * np.random.default_rng(3).normal(size=(size, size, size))
    model = TableModel(table, context_len=context_len)
    return ModelDrafter(model, vocab_size=6, ids=np.array([0, 2, 5]))


def slow_law(drafter: Drafter, prompt: list[int], written: list[int]) -> list[float]:
    """Spread what a drafter says of one position over a vocabulary of six, in plain loops."""
    drafter.prefill(prompt)
    for end in range(len(written)):
        drafter.scores_after(prompt, written[:end])
    scores = drafter.scores_after(prompt, written)
    law = [0.0] * 6
    for index, logit in enumerate(scores.logits):
        law[scores.token_at(index)] = float(np.exp(float(logit)))
    return [weight / sum(law) for weight in law]


@pytest.mark.parametrize("kind", ["model", "trimmed", "trimmed-padded", "ngram"])
def test_every_position_is_what_plain_loops_find(random_pair: Pair, kind: str) -> None:
    verifier, small = random_pair(1)

    def make() -> Drafter:
        if kind == "model":
            return ModelDrafter.for_verifier(small, verifier)
        return NgramDrafter() if kind == "ngram" else trimmed(size=4 if kind == "trimmed" else 5)

    answer = np.random.default_rng(5).integers(6, size=40).tolist()
    case = VerifiedAnswer(task="toy", prompt=PROMPT, answer=answer)
    scores = score_answer(verifier, make(), case)
    text = [*case.prompt, *case.answer]
    assert len(scores.agrees) == len(case.answer) == 40
    for position in range(40):
        written = list(case.answer[:position])
        draft = slow_law(make(), list(case.prompt), written)
        verifier.model.rollback(0)
        weights = np.exp(verifier.model.feed(text[: len(PROMPT) + position], last=1)[0])
        target = (weights / weights.sum()).tolist()
        likeliest = target.index(max(target))
        assert scores.agrees[position] == (draft.index(max(draft)) == likeliest)
        overlap = sum(min(one, other) for one, other in zip(target, draft, strict=True))
        assert scores.overlap[position] == pytest.approx(overlap, abs=1e-6)
        entropy = -sum(prob * np.log(prob) for prob in draft if prob)
        assert scores.entropy_nats[position] == pytest.approx(entropy, abs=1e-6)
        assert scores.covered[position] == (draft[likeliest] > 0)
        assert scores.greedy[position] == (likeliest == case.answer[position])
    assert 0 < scores.agrees.mean() < 1


def test_a_trimmed_drafter_covers_what_it_can_name(random_pair: Pair) -> None:
    verifier, _ = random_pair(1)
    case = answered(verifier)
    scores = score_answer(verifier, trimmed(), case)
    assert scores.covered.tolist() == [token in (0, 2, 5) for token in case.answer]
    assert not scores.agrees[~scores.covered].any()
    assert scores.greedy.all()


def test_a_model_agrees_with_itself(random_pair: Pair) -> None:
    verifier, again = random_pair()[0], random_pair()[0]
    scores = score_answer(
        verifier, ModelDrafter.for_verifier(again, verifier), answered(random_pair()[0])
    )
    assert scores.agrees.all()
    np.testing.assert_allclose(scores.overlap, 1)


def test_an_answer_by_somebody_else_is_noticed(random_pair: Pair) -> None:
    verifier, drafter = random_pair()
    case = VerifiedAnswer(task="toy", prompt=PROMPT, answer=[4] * 20)
    scores = score_answer(verifier, ModelDrafter.for_verifier(drafter, verifier), case)
    assert scores.greedy.mean() < 0.5


def test_one_pass_scores_what_many_do(random_pair: Pair) -> None:
    """Whatever the drafter has read before."""
    for drafter in (ModelDrafter(random_pair()[1].model, vocab_size=6), trimmed()):
        drafter.scores_along([3, 3, 3, 3], [2, 2])
        text, proposal = [1, 2, 5, 4], [0, 3, 2]
        drafter.prefill(text)
        along = [np.array(scores.logits) for scores in drafter.scores_along(text, proposal)]
        for end, row in enumerate(along):
            drafter.rollback(0)
            np.testing.assert_array_equal(drafter.scores_after(text, proposal[:end]).logits, row)
        assert len(along) == len(proposal) + 1


def test_a_text_must_fit_both_contexts(random_pair: Pair) -> None:
    verifier, _ = random_pair()
    case = answered(verifier, 10)
    assert len(score_answer(verifier, trimmed(context_len=12), case).agrees) == 10
    with pytest.raises(ContextLengthError, match="context of 11 tokens, got 12"):
        score_answer(verifier, trimmed(context_len=11), case)
    small, _ = random_pair(context_len=11)
    with pytest.raises(ContextLengthError):
        score_answer(small, trimmed(), case)


@pytest.mark.parametrize(("prompt", "answer"), [([], [1]), ([1], [])])
def test_neither_part_may_be_empty(random_pair: Pair, prompt: list[int], answer: list[int]) -> None:
    with pytest.raises(ConfigError, match="must be at least one token long"):
        score_answer(
            random_pair()[0], trimmed(), VerifiedAnswer(task="", prompt=prompt, answer=answer)
        )


def test_a_broken_verifier_is_refused(random_pair: Pair) -> None:
    good, _ = random_pair()
    model = TableModel(np.full((6, 6), np.nan))
    broken = LoadedModel(
        model=model, tokenizer=good.tokenizer, engine="toy", path="", description=""
    )
    with pytest.raises(NonFiniteError, match="target law"):
        score_answer(broken, trimmed(), answered(good, 5))
