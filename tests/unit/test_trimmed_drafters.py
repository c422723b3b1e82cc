"""A drafter that knows a part of the tokens reads the others as unknown, and writes none."""

from collections.abc import Callable

import numpy as np
import pytest

from smart_speed.drafters.model import ModelDrafter
from smart_speed.engines.base import UNKNOWN_TOKEN, LoadedModel
from smart_speed.engines.toy import TableModel
from smart_speed.errors import ConfigError, VocabularyError
from tests.unit.test_speculative_decoding import decoder_of, slow_greedy
from tests.unit.test_vocabulary import Words

Pair = Callable[..., tuple[LoadedModel, LoadedModel]]

KEPT = [0, 2, 3]
"""Of the six tokens of a random pair."""
UNKNOWN = 3
"""What the drafter calls all others."""


def trimmed(verifier: LoadedModel, *, padding: int = 0) -> LoadedModel:
    """A drafter of order 1 that agrees with a random verifier wherever it can."""
    size = len(KEPT) + 1
    assert isinstance(verifier.model, TableModel)
    whole = verifier.model._table.mean(axis=0)
    table = np.random.default_rng(0).normal(size=(size + padding, size + padding))
    table[:UNKNOWN, :UNKNOWN] = whole[np.ix_(KEPT, KEPT)]
    table[:, UNKNOWN:] = 50.0  # it would write nothing else if it could
    spelled = [verifier.tokenizer.spelling(token) for token in KEPT]
    return LoadedModel(
        model=TableModel(table),
        tokenizer=Words([*spelled, UNKNOWN_TOKEN]),
        engine="toy",
        path="trimmed",
        description="made for a test",
    )


@pytest.mark.parametrize("padding", [0, 3])
def test_scores_are_of_the_kept_tokens(padding: int, random_pair: Pair) -> None:
    verifier, _ = random_pair()
    model = trimmed(verifier, padding=padding)
    assert isinstance(model.model, TableModel)
    drafter = ModelDrafter.for_verifier(model, verifier, name="small")
    assert (drafter.name, drafter.support_len) == ("small", 3)
    text = [5, 0, 2, 1]
    drafter.prefill(text)
    for proposal, last in (([], UNKNOWN), ([2], 1), ([2, 3], 2), ([2, 3, 4], UNKNOWN)):
        scores = drafter.scores_after(text, proposal)
        assert scores.ids is not None
        assert scores.ids.tolist() == KEPT
        assert np.array_equal(scores.logits, model.model._table[last, :UNKNOWN])
        assert model.model.cached_tokens[-1] == last
    assert list(model.model.cached_tokens) == [UNKNOWN, 0, 1, UNKNOWN, 1, 2, UNKNOWN]


def test_text_is_the_verifier_s_and_tokens_outside_are_part_of_it(random_pair: Pair) -> None:
    accepted = 0
    for seed in range(3):
        verifier, _ = random_pair(seed)
        expected = slow_greedy(verifier.model, [1, 4, 0], 40)
        assert set(expected) - set(KEPT)
        decoder = decoder_of(verifier, trimmed(verifier), strategy="fixed")
        result = decoder.generate([1, 4, 0], max_new_tokens=40)
        assert list(result.tokens) == expected
        drafted = [token for turn in result.rounds for token in turn.proposed]
        assert set(drafted) <= set(KEPT)
        accepted += sum(turn.record.accepted_len for turn in result.rounds)
    assert accepted > 0


def test_tokens_past_the_verifier_s_logits_are_never_drafted() -> None:
    table = np.zeros((4, 4))
    drafter = ModelDrafter(TableModel(table), vocab_size=5, ids=np.array([1, 3, 7]))
    scores = drafter.scores_after([7, 2], [])
    assert scores.ids is not None
    assert scores.ids.tolist() == [1, 3]
    assert scores.logits.shape == (2,)


@pytest.mark.parametrize("ids", [[], [0, 1, 2]])
def test_model_needs_a_token_for_those_it_lacks(ids: list[int]) -> None:
    with pytest.raises(ConfigError, match=f"ids must be 1 to 2 in number, got {len(ids)}"):
        ModelDrafter(TableModel(np.zeros((3, 3))), vocab_size=5, ids=np.array(ids, dtype=np.int64))


def test_drafter_of_other_words_is_refused(random_pair: Pair) -> None:
    verifier, other = random_pair()
    with pytest.raises(VocabularyError, match="got 'z' as its token 1"):
        ModelDrafter.for_verifier(
            LoadedModel(
                model=other.model,
                tokenizer=Words(["a", "z", UNKNOWN_TOKEN]),
                engine="toy",
                path="other",
                description="made for a test",
            ),
            verifier,
        )
