"""One pass over a text says what each of its tokens cost."""

from collections.abc import Callable

import numpy as np
import pytest

from smart_speed.engines.base import LoadedModel
from smart_speed.engines.toy import TableModel
from smart_speed.errors import ConfigError, ContextLengthError, NonFiniteError
from smart_speed.scoring import score_text

Pair = Callable[..., tuple[LoadedModel, LoadedModel]]


def by_hand(model: TableModel, prompt: list[int], output: list[int]) -> tuple[float, float]:
    """Score token by token, each from an empty cache."""
    total = entropy = 0.0
    for at, token in enumerate(output):
        model.rollback(0)
        logits = model.feed([*prompt, *output[:at]], last=1)[0]
        probs = np.exp(logits) / np.exp(logits).sum()
        total += np.log(probs[token])
        entropy -= float((probs * np.log(probs)).sum())
    return total, entropy


@pytest.mark.parametrize("length", [1, 3, 64, 65, 150])
def test_score_is_that_of_single_passes(
    random_pair: Pair, generator: np.random.Generator, length: int
) -> None:
    model = random_pair()[0].model
    assert isinstance(model, TableModel)
    prompt, output = [1, 2, 3], generator.integers(6, size=length).tolist()
    expected = by_hand(model, prompt, output)
    for before in ([], prompt, [*prompt, *output], [1, 4], [*prompt, 9 % 6]):
        model.rollback(0)
        if before:
            model.feed(before, last=0)
        score = score_text(model, prompt, output)
        assert score.num_tokens == length
        np.testing.assert_allclose(score[1:], expected, rtol=1e-12)
        assert list(model.cached_tokens) == [*prompt, *output][:-1]


def test_a_drawn_text_costs_its_entropy(generator: np.random.Generator) -> None:
    """The law of large numbers, with laws that are all the same."""
    logits = np.array([0.0, 1.0, 2.0, -1.0])
    model = TableModel(np.tile(logits, (4, 1)))
    probs = np.exp(logits) / np.exp(logits).sum()
    score = score_text(model, [0], generator.choice(4, size=4000, p=probs).tolist())
    assert -score.log_likelihood == pytest.approx(score.entropy_nats, rel=0.03)


def test_impossible_tokens_cost_everything_and_have_no_entropy() -> None:
    model = TableModel(np.tile(np.array([0.0, -np.inf]), (2, 1)))
    assert score_text(model, [0], [0]) == (1, 0.0, 0.0)
    assert score_text(model, [0], [1]).log_likelihood == -np.inf


@pytest.mark.parametrize(
    ("prompt", "output", "sentence"),
    [([], [1], "prompt must be at least one"), ([1], [], "output must be at least one")],
)
def test_empty_texts_are_refused(
    random_pair: Pair, prompt: list[int], output: list[int], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        score_text(random_pair()[0].model, prompt, output)


def test_bad_texts_and_models_are_refused(random_pair: Pair) -> None:
    with pytest.raises(ContextLengthError, match="context of 8 tokens, got 9"):
        score_text(random_pair(context_len=8)[0].model, [1] * 5, [1] * 5)
    assert score_text(random_pair(context_len=8)[0].model, [1] * 5, [1] * 4).num_tokens == 4
    with pytest.raises(NonFiniteError, match="must be finite"):
        score_text(TableModel(np.full((2, 2), np.nan)), [0], [1])
