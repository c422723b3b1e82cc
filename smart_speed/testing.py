"""Suites for engines and drafters, the built-in ones and your own.

::

    def test_my_engine() -> None:
        check_cached_model(lambda: MyModel(weights), tokens=[3, 1, 4, 1, 5, 9, 2, 6])

A broken promise is an AssertionError that names it.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import array_api_compat
import numpy as np
from jaxtyping import Float

from smart_speed.drafters.base import Drafter
from smart_speed.engines.base import CachedModel
from smart_speed.errors import ConfigError, RollbackError, check_that
from smart_speed.laws import Array, Scores, softmax

_Rows = Float[np.ndarray, "rows vocab"]


def check_cached_model(
    make: Callable[[], CachedModel], tokens: Sequence[int], *, tolerance: float = 1e-4
) -> None:
    """Check every promise of ``CachedModel``.

    Args:
        make: Returns a model with an empty cache. Called for every comparison, so the weights
            should be shared.
        tokens: A text, at least 4 tokens; where a model has a sliding window, longer than that.
        tolerance: How far two logits may differ and still count as equal, because a pass of one
            token is computed in another order than a pass of many.

    Raises:
        AssertionError: If a promise is broken.
    """
    check_that(len(tokens) >= 4, "tokens", "at least 4 in number", len(tokens))
    case = _ModelCase(make, list(tokens), tolerance)
    _check_start(case)
    _check_passes(case)
    _check_last(case)
    _check_rollback(case)
    _check_rounds(case)
    _check_refusals(case)


@final
@dataclass(frozen=True, slots=True)
class _ModelCase:
    make: Callable[[], CachedModel]
    tokens: list[int]
    tolerance: float

    def strangers(self, start: int) -> list[int]:
        """Return tokens unlike those of the text, from a position on."""
        width = self.make().vocab_size
        return [(token + 1) % width for token in self.tokens[start:]]

    def expect(self, model: CachedModel, text: Sequence[int], got: _Rows, promise: str) -> None:
        """Compare rows, and the cache's length, with a pass of a fresh model over the text."""
        _equal(model.cached_len, len(text), f"cached_len after {promise}")
        _equal(list(model.cached_tokens), list(text), f"cached_tokens after {promise}")
        expected = _rows(self.make(), text, last=len(got))
        _close(got, expected, self.tolerance, promise)


def _rows(model: CachedModel, tokens: Sequence[int], *, last: int) -> _Rows:
    rows = _to_numpy(model.feed(tokens, last=last))
    _equal(rows.shape, (last, model.vocab_size), "the shape of what feed returns")
    return rows


def _check_start(case: _ModelCase) -> None:
    model = case.make()
    _equal(model.cached_len, 0, "cached_len of a new model")
    enough = model.context_len >= len(case.tokens)
    check_that(enough, "tokens", f"at most {model.context_len} in number", len(case.tokens))
    strange = [token for token in case.tokens if not 0 <= token < model.vocab_size]
    check_that(not strange, "tokens", f"from 0 to {model.vocab_size - 1}", strange)


def _check_passes(case: _ModelCase) -> None:
    """A text scores the same however it is cut into passes."""
    for width in (len(case.tokens), 1, 2, 3):
        model = case.make()
        rows = []
        for start in range(0, len(case.tokens), width):
            part = case.tokens[start : start + width]
            rows.append(_rows(model, part, last=len(part)))
        case.expect(model, case.tokens, np.concatenate(rows), f"passes of {width} tokens")


def _check_last(case: _ModelCase) -> None:
    """Fewer rows are the last ones of all."""
    for last in range(len(case.tokens) + 1):
        model = case.make()
        rows = _rows(model, case.tokens, last=last)
        case.expect(model, case.tokens, rows, f"feed with last={last}")


def _check_rollback(case: _ModelCase) -> None:
    """After a rollback to any length, other tokens score as if the forgotten had never been."""
    for to_len in range(len(case.tokens) + 1):
        model = case.make()
        model.feed(case.tokens, last=0)
        model.rollback(to_len)
        _equal(model.cached_len, to_len, f"cached_len after rollback({to_len})")
        others = case.strangers(to_len)
        if others:
            text = [*case.tokens[:to_len], *others]
            rows = _rows(model, others, last=len(others))
            case.expect(model, text, rows, f"rollback({to_len}) and other tokens")


def _check_rounds(case: _ModelCase) -> None:
    """One cache serves round after round, and text after text."""
    model = case.make()
    for _ in range(2):
        for text_len in range(1, len(case.tokens)):
            proposal = case.strangers(text_len)[: text_len % 4]
            unseen = [*case.tokens[model.cached_len : text_len], *proposal]
            rows = _rows(model, unseen, last=len(proposal) + 1)
            text = [*case.tokens[:text_len], *proposal]
            case.expect(model, text, rows, f"the round at length {text_len}")
            model.rollback(text_len)
        model.rollback(0)


def _check_refusals(case: _ModelCase) -> None:
    """What breaks the contract is refused, and changes nothing."""
    model = case.make()
    *text, token = case.tokens
    model.feed(text, last=0)
    for to_len in (len(text) + 1, -1):
        with _refused(RollbackError, f"rollback({to_len}) of {len(text)} tokens"):
            model.rollback(to_len)
    for last in (2, -1):
        with _refused(ConfigError, f"feed of 1 token with last={last}"):
            model.feed([token], last=last)
    with _refused(ConfigError, "feed of no token"):
        model.feed([], last=0)
    room = model.context_len - model.cached_len
    with _refused(ConfigError, "feed of more tokens than the context holds"):
        model.feed([token] * (room + 1), last=1)
    case.expect(model, case.tokens, _rows(model, [token], last=1), "refusals")


def check_drafter(
    make: Callable[[], Drafter], text: Sequence[int], *, vocab_size: int, tolerance: float = 1e-4
) -> None:
    """Check every promise of ``Drafter``, as the decoding loop relies on them.

    Args:
        make: Returns a drafter that has read nothing.
        text: A text of at least 8 tokens, to draft continuations of.
        vocab_size: Width of the verifier's logits.
        tolerance: How far two probabilities may differ and still count as equal.

    Raises:
        AssertionError: If a promise is broken.
    """
    check_that(len(text) >= 8, "text", "at least 8 tokens long", len(text))
    case = _DrafterCase(make, list(text), vocab_size, tolerance)
    drafter = make()
    _equal(bool(drafter.name), True, "the drafter having a name")
    drafter.rollback(0)
    half = len(text) // 2
    # The third begins as the first does, as when a chat goes on; the last is read from the start.
    for prompt in (case.text, case.text[:half], [*case.text[:half], *case.text[:half]]):
        _check_text(case, drafter, prompt)
    drafter.rollback(0)
    _check_text(case, drafter, case.text[half:])


@final
@dataclass(frozen=True, slots=True)
class _DrafterCase:
    make: Callable[[], Drafter]
    text: list[int]
    vocab_size: int
    tolerance: float

    def expect(
        self, scores: Scores, text: Sequence[int], proposal: Sequence[int], promise: str
    ) -> None:
        """Compare with what a drafter says that has read nothing else."""
        fresh = self.make()
        fresh.prefill(text)
        for end in range(len(proposal)):
            fresh.scores_after(text, proposal[:end])
        expected = _probs(fresh.scores_after(text, proposal), self.vocab_size)
        _close(_probs(scores, self.vocab_size), expected, self.tolerance, promise)


def _check_text(case: _DrafterCase, drafter: Drafter, prompt: Sequence[int]) -> None:
    """Play rounds in which all, nothing, or a part of the draft is kept, or nothing is drafted."""
    text = list(prompt)
    drafter.prefill(text)
    for draft_len, accepted_len in ((3, 3), (4, 0), (4, 2), (0, 0), (1, 1), (1, 0), (2, 1)):
        proposal: list[int] = []
        for position in range(draft_len):
            scores = drafter.scores_after(text, proposal)
            case.expect(
                scores, text, proposal, f"position {position} of a draft at length {len(text)}"
            )
            proposal.append(_draw(scores, rank=position))
        text += [*proposal[:accepted_len], case.text[len(text) % len(case.text)]]
        drafter.rollback(len(text) - 1)


def _draw(scores: Scores, *, rank: int) -> int:
    """Return the likeliest token, or one less likely."""
    order = np.argsort(-_to_numpy(scores.logits), kind="stable")
    return scores.token_at(int(order[rank % len(order)]))


def _probs(scores: Scores, vocab_size: int) -> Float[np.ndarray, " vocab"]:
    """Spread a law over the verifier's vocabulary, after checking that it is one."""
    logits = _to_numpy(scores.logits)
    finite = bool(np.isfinite(logits).any() and not (np.isnan(logits) | (logits == np.inf)).any())
    _equal(finite, True, "scores being finite or -inf, and not all -inf")
    ids = np.arange(len(logits)) if scores.ids is None else _to_numpy(scores.ids).astype(np.int64)
    _equal(ids.shape, logits.shape, "one id for each score")
    inside = bool((np.diff(ids) > 0).all() and ids[0] >= 0 and ids[-1] < vocab_size)
    _equal(inside, True, "ids ascending and the verifier's")
    probs = np.zeros(vocab_size)
    probs[ids] = softmax(Scores(logits)).probs
    return probs


def _to_numpy(array: Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Copy an array of any library: the engine may overwrite its own."""
    detached = array.detach() if hasattr(array, "detach") else array
    on_cpu = array_api_compat.to_device(detached, "cpu")
    xp = array_api_compat.array_namespace(on_cpu)
    return np.asarray(xp.astype(on_cpu, xp.float64, copy=True))


def _close(got: Any, expected: Any, tolerance: float, promise: str) -> None:
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance, err_msg=promise)


def _equal(got: object, expected: object, promise: str) -> None:
    if got != expected:
        raise AssertionError(f"{promise} must be {expected!r}, got {got!r}.")


@contextlib.contextmanager
def _refused(error: type[Exception], what: str) -> Iterator[None]:
    try:
        yield
    except error:
        return
    raise AssertionError(f"{what} must raise {error.__name__}.")
