"""The toy engine keeps the contract, and the suite notices engines that do not."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from smart_speed.engines.toy import TableModel
from smart_speed.errors import ConfigError, RollbackError
from smart_speed.testing import check_cached_model

TEXT = [1, 2, 3, 0, 4, 5, 2, 2, 1]


def table_model(order: int = 2) -> TableModel:
    table = np.random.default_rng(order).normal(size=(6,) * (order + 1))
    return TableModel(table, context_len=32)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_toy_keeps_the_contract(order: int) -> None:
    check_cached_model(lambda: table_model(order), TEXT, tolerance=0.0)


class Faulty:
    """A model that keeps every promise but those that a subclass breaks."""

    def __init__(self) -> None:
        self.inner = table_model()
        self.vocab_size = self.inner.vocab_size
        self.context_len = self.inner.context_len

    @property
    def cached_tokens(self) -> Sequence[int]:
        return self.inner.cached_tokens

    @property
    def cached_len(self) -> int:
        return self.inner.cached_len

    def feed(self, tokens: Sequence[int], *, last: int) -> Any:
        return self.inner.feed(tokens, last=last)

    def rollback(self, to_len: int) -> None:
        self.inner.rollback(to_len)


class ScoresOneTokenLate(Faulty):
    def feed(self, tokens: Sequence[int], *, last: int) -> Any:
        return np.roll(super().feed(tokens, last=last), 1, axis=0)


class ReturnsEveryRow(Faulty):
    def feed(self, tokens: Sequence[int], *, last: int) -> Any:
        rows = super().feed(tokens, last=len(tokens))
        return rows[-last:]  # all of them where last is 0


class ForgetsTheCacheBetweenPasses(Faulty):
    def feed(self, tokens: Sequence[int], *, last: int) -> Any:
        padding = self.inner.cached_len
        fresh = table_model()
        rows = fresh.feed(tokens, last=last)
        self.inner.feed(tokens, last=0)
        assert self.inner.cached_len == padding + len(tokens)
        return rows


class RemembersRejectedTokens(Faulty):
    """Counts the tokens right, but goes on from the last one it ever saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def feed(self, tokens: Sequence[int], *, last: int) -> Any:
        self.inner.feed(tokens, last=0)
        self.seen += tokens
        return table_model().feed(self.seen, last=last)


class ClampsRollbacks(Faulty):
    def rollback(self, to_len: int) -> None:
        self.inner.rollback(min(max(to_len, 0), self.cached_len))


class FeedsUnchecked(Faulty):
    def feed(self, tokens: Sequence[int], *, last: int) -> Any:
        if not tokens:
            return np.zeros((0, self.vocab_size))
        return super().feed(tokens, last=last)


class ReadsWhatItRefuses(Faulty):
    def feed(self, tokens: Sequence[int], *, last: int) -> Any:
        try:
            return super().feed(tokens, last=last)
        except ConfigError:
            if tokens and self.cached_len < self.context_len:
                super().feed(tokens[:1], last=0)
            raise


class KnowsAnotherText(Faulty):
    @property
    def cached_tokens(self) -> Sequence[int]:
        return [0] * self.cached_len


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (ScoresOneTokenLate, "passes of 1 tokens"),
        (ReturnsEveryRow, "the shape of what feed returns"),
        (ForgetsTheCacheBetweenPasses, "passes of 1 tokens"),
        (RemembersRejectedTokens, "and other tokens"),
        (ClampsRollbacks, "must raise RollbackError"),
        (FeedsUnchecked, "must raise ConfigError"),
        (ReadsWhatItRefuses, "after refusals"),
        (KnowsAnotherText, "cached_tokens"),
    ],
)
def test_suite_notices_a_broken_promise(make: Callable[[], Faulty], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_cached_model(make, TEXT)


def test_suite_accepts_what_breaks_nothing() -> None:
    check_cached_model(Faulty, TEXT)


def test_suite_needs_a_text_that_the_model_can_read() -> None:
    with pytest.raises(ConfigError, match="tokens must be at least 4 in number, got 1"):
        check_cached_model(table_model, [1])
    with pytest.raises(ConfigError, match="tokens must be from 0 to 5"):
        check_cached_model(table_model, [1, 2, 3, 9])


def test_rollback_past_the_cache_names_the_bounds() -> None:
    model = table_model()
    model.feed(TEXT, last=0)
    with pytest.raises(RollbackError, match=r"to_len must be 0 to 9, got 10\."):
        model.rollback(10)
