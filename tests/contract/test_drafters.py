"""Drafters say the same of a text, however they came to read it."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from smart_speed.drafters.base import Drafter
from smart_speed.drafters.model import ModelDrafter
from smart_speed.drafters.ngram import NgramDrafter
from smart_speed.engines.toy import TableModel
from smart_speed.errors import ConfigError
from smart_speed.laws import Scores
from smart_speed.testing import check_drafter

TEXT = [1, 2, 3, 0, 4, 1, 2, 2, 1, 2, 3, 0]


def model_drafter(*, verifier_width: int = 6) -> ModelDrafter:
    table = np.random.default_rng(0).normal(size=(6, 6, 6))
    return ModelDrafter(TableModel(table), vocab_size=verifier_width)


def trimmed_drafter(*ids: int, size: int) -> ModelDrafter:
    """Build a drafter that lacks some tokens of the text."""
    table = np.random.default_rng(0).normal(size=(size, size, size))
    return ModelDrafter(TableModel(table), vocab_size=7, ids=np.array(ids))


@pytest.mark.parametrize(
    "make",
    [
        model_drafter,
        lambda: model_drafter(verifier_width=7),
        lambda: model_drafter(verifier_width=5),
        lambda: trimmed_drafter(0, 2, 3, 6, size=5),
        lambda: trimmed_drafter(1, 2, size=6),
        lambda: trimmed_drafter(4, size=2),
        NgramDrafter,
        lambda: NgramDrafter(max_order=1),
    ],
    ids=[
        "model", "model-narrower", "model-wider", "trimmed", "trimmed-padded", "trimmed-to-one",
        "ngram", "ngram-1",
    ],
)  # fmt: skip
def test_drafter_keeps_the_contract(make: Callable[[], Drafter]) -> None:
    check_drafter(make, TEXT, vocab_size=7 if make is not model_drafter else 6)


class Faulty:
    """A drafter that keeps every promise but those that a subclass breaks."""

    name = "faulty"
    context_len = None

    def __init__(self) -> None:
        self.inner: Drafter = model_drafter()

    def prefill(self, text: Sequence[int]) -> None:
        self.inner.prefill(text)

    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        return self.inner.scores_after(text, proposal)

    def rollback(self, to_len: int) -> None:
        self.inner.rollback(to_len)


class Nameless(Faulty):
    name = ""


class NeverForgets(Faulty):
    """Keeps drafted tokens that were rejected, as many as the text has tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[int] = []

    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        self.read += [*text, *proposal][len(self.read) :]
        return model_drafter().scores_after(self.read, [])


class NamesUnknownTokens(Faulty):
    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        return Scores(np.zeros(3), np.array([0, 2, 6]))


class NamesTokensTwice(Faulty):
    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        return Scores(np.zeros(3), np.array([0, 2, 2]))


class KnowsNothing(Faulty):
    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        return Scores(np.full(6, -np.inf))


class Moody(Faulty):
    """Says something else each time it is asked."""

    questions = 0

    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        self.questions += 1
        scores = super().scores_after(text, proposal)
        return Scores(scores.logits * (1 + self.questions))


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (Nameless, "a name"),
        (NeverForgets, "of a draft at length"),
        (NamesUnknownTokens, "ids ascending and the verifier's"),
        (NamesTokensTwice, "ids ascending and the verifier's"),
        (KnowsNothing, "not all -inf"),
        (Moody, "of a draft at length"),
    ],
)
def test_suite_notices_a_broken_promise(make: Callable[[], Faulty], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_drafter(make, TEXT, vocab_size=6)


def test_suite_accepts_what_breaks_nothing() -> None:
    check_drafter(Faulty, TEXT, vocab_size=6)


def test_suite_needs_a_text_long_enough() -> None:
    with pytest.raises(ConfigError, match="text must be at least 8 tokens long, got 3"):
        check_drafter(Faulty, [1, 2, 3], vocab_size=6)
