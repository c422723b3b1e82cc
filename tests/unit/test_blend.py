"""A model's law and the text's n-grams, blended."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from smart_speed.drafters.blend import BlendDrafter, BlendWeights
from smart_speed.drafters.ngram_counts import NgramCounts
from smart_speed.laws import Array, Scores, softmax
from smart_speed.testing import check_drafter

WIDTH = 12
TEXT = [1, 2, 3, 1, 2, 4, 1, 2]


class Table:
    """Scores that depend on the last token only, over all tokens or some."""

    name = "table"
    context_len = 50

    def __init__(self, ids: list[int] | None = None, *, to: type = np.ndarray) -> None:
        self._ids = None if ids is None else np.array(ids)
        self._to = to
        self.logits = np.random.default_rng(3).normal(size=(WIDTH, WIDTH)).astype(np.float32)

    def prefill(self, text: Sequence[int]) -> None:
        pass

    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        row = self.logits[[*text, *proposal][-1]]
        row = row if self._ids is None else row[self._ids]
        if self._to is torch.Tensor:
            return Scores(
                torch.asarray(row), None if self._ids is None else torch.asarray(self._ids)
            )
        return Scores(row, self._ids)

    def rollback(self, to_len: int) -> None:
        pass


def spread(scores: Scores) -> np.ndarray:
    ids = np.arange(len(scores.logits)) if scores.ids is None else np.asarray(scores.ids)
    assert (np.diff(ids) > 0).all()
    law = np.zeros(WIDTH)
    law[ids] = np.asarray(softmax(scores).probs)
    return law


def expected(scores: Scores, text: list[int], weights: BlendWeights) -> np.ndarray:
    counts = NgramCounts(6)
    counts.read(text, [])
    said = counts.followers()
    grams = np.zeros(WIDTH)
    for token, prob in said.probs.items():
        grams[token] = prob / (1 - said.left)
    weight = weights.weight(said.order, float(grams.max())) if said.order else 0.0
    return (1 - weight) * spread(scores) + weight * grams


@pytest.mark.parametrize("kind", [np.ndarray, torch.Tensor])
@pytest.mark.parametrize(
    "ids",
    [None, list(range(WIDTH)), [0, 2, 3, 5], [2], [0, 5], [9, 11], [3, 4, 11]],
    ids=str,
)
@pytest.mark.parametrize("text", [TEXT, [7], [5, 5], [*TEXT, 3, 1], [8, 9, 8]], ids=str)
def test_law_is_the_mixture(text: list[int], ids: list[int] | None, kind: type) -> None:
    table, weights = Table(ids, to=kind), BlendWeights()
    drafter = BlendDrafter(table, weights)
    drafter.prefill(text)
    for split in (len(text), max(len(text) - 2, 1)):
        scores = drafter.scores_after(text[:split], text[split:])
        np.testing.assert_allclose(
            spread(scores), expected(table.scores_after(text, []), text, weights), atol=1e-6
        )


def test_the_drafters_own_array_stays_as_it_was() -> None:
    table = Table()
    before = table.logits.copy()
    BlendDrafter(table).scores_after(TEXT, [3])
    np.testing.assert_array_equal(table.logits, before)


@given(st.integers(1, 6), st.floats(0.01, 1))
def test_longer_contexts_and_surer_counts_weigh_more(order: int, prob: float) -> None:
    weights = BlendWeights()
    here = weights.weight(order, prob)
    assert 0 < here < weights.weight(order + 1, prob) < 1
    assert weights.weight(order, prob * 0.5) < here


@pytest.mark.parametrize("ids", [None, [0, 2, 3, 5]], ids=str)
def test_promises_of_a_drafter_are_kept(ids: list[int] | None) -> None:
    text = np.random.default_rng(0).integers(0, 6, size=12).tolist()
    check_drafter(lambda: BlendDrafter(Table(ids)), text, vocab_size=WIDTH)


def test_agreement_lowers_entropy_and_disagreement_raises_it() -> None:
    table = Table()
    table.logits[:] = 0
    table.logits[1, 2] = 3.0
    drafter = BlendDrafter(table)

    def entropy(text: list[int]) -> float:
        law: Array = spread(drafter.scores_after(text, []))
        return float(-(law[law > 0] * np.log(law[law > 0])).sum())

    alone = entropy([1])
    drafter.prefill([])
    agreeing = entropy([1, 2, 1, 2, 1, 2, 1])
    drafter.prefill([])
    assert agreeing < alone < entropy([1, 3, 4, 1, 5, 1])


def test_name_says_what_is_blended() -> None:
    drafter = BlendDrafter(Table())
    assert drafter.name == "table+ngram"
    assert drafter.context_len == 50
