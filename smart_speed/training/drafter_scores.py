"""A drafter and its verifier side by side, at each position of a text that the verifier wrote.

Teacher-forced: both read the verifier's own answer, and are asked what they would write next at
each position of it. That takes one pass of each model for an answer, and no clock.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import array_api_compat
import numpy as np
from jaxtyping import Bool, Float

from smart_speed.drafters.base import Drafter
from smart_speed.drafters.model import ModelDrafter
from smart_speed.engines.base import LoadedModel
from smart_speed.entropy import facts_measure
from smart_speed.errors import ContextLengthError, NonFiniteError, check_that
from smart_speed.laws import Array, Scores, softmax, wide
from smart_speed.metrics.texts import count_repeats


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedAnswer:
    """A prompt and the verifier's own greedy answer to it."""

    task: str
    prompt: Sequence[int]
    answer: Sequence[int]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerScores:
    """Both models at each position of one answer."""

    task: str
    agrees: Bool[np.ndarray, " answer"]
    """Whether their likeliest tokens are the same."""
    overlap: Float[np.ndarray, " answer"]
    """Sum of min(target, draft) over the verifier's whole vocabulary, at temperature 1; tokens
    that the drafter cannot name have a draft probability of 0."""
    entropy_nats: Float[np.ndarray, " answer"]
    """Of the draft law, after Shannon."""
    covered: Bool[np.ndarray, " answer"]
    """Whether the drafter can name the verifier's likeliest token."""
    greedy: Bool[np.ndarray, " answer"]
    """Whether that is the answer's token. Another engine, or another width of the pass, may have
    written the answer, and rounds otherwise."""
    num_4grams: int
    """Of the answer."""
    num_repeated_4grams: int
    """Those that occurred in it before."""


class _Position(NamedTuple):
    agrees: bool
    overlap: float
    entropy_nats: float
    covered: bool


def score_answer(verifier: LoadedModel, drafter: Drafter, answered: VerifiedAnswer) -> AnswerScores:
    """Compare two models at each position of an answer.

    Args:
        verifier: Its cache is emptied.
        drafter: Paired with it.
        answered: The verifier's prompt and answer.

    Raises:
        ContextLengthError: If the text does not fit a model's context.
        NonFiniteError: If a model's logits are not a law.
        ConfigError: If the prompt or the answer is empty.
    """
    answer = [int(token) for token in answered.answer]
    prompt = [int(token) for token in answered.prompt]
    check_that(bool(prompt), "prompt", "at least one token long", prompt)
    check_that(bool(answer), "answer", "at least one token long", answer)
    unread = [*prompt, *answer[:-1]]
    contexts = (verifier.model.context_len, drafter.context_len)
    room = min(length for length in contexts if length is not None)
    if len(unread) > room:
        raise ContextLengthError(
            f"A prompt and its answer must fit the context of {room} tokens, got {len(unread)}."
        )
    verifier.model.rollback(0)
    rows = _to_numpy(wide(verifier.model.feed(unread, last=len(answer))))
    pairs = zip(rows, _drafts(drafter, prompt, answer[:-1]), strict=True)
    agrees, overlap, entropies, covered = zip(*(_compare(*pair) for pair in pairs), strict=True)
    num_4grams, num_repeated = count_repeats(answer)
    return AnswerScores(
        task=answered.task,
        agrees=np.array(agrees),
        overlap=np.array(overlap),
        entropy_nats=np.array(entropies),
        covered=np.array(covered),
        greedy=rows.argmax(axis=-1) == answer,
        num_4grams=num_4grams,
        num_repeated_4grams=num_repeated,
    )


def _drafts(drafter: Drafter, prompt: Sequence[int], written: Sequence[int]) -> Iterator[Scores]:
    """Return what a drafter says after a prompt, and after each token written since."""
    drafter.prefill(prompt)
    if isinstance(drafter, ModelDrafter):
        yield from drafter.scores_along(prompt, written)
    else:
        for end in range(len(written) + 1):
            yield drafter.scores_after(prompt, written[:end])


def _compare(row: Float[np.ndarray, " vocab"], scores: Scores) -> _Position:
    scores = Scores(
        _to_numpy(wide(scores.logits)), None if scores.ids is None else _to_numpy(scores.ids)
    )
    ids = np.arange(len(scores.logits)) if scores.ids is None else scores.ids
    target, likeliest = softmax(Scores(row)).probs, int(row.argmax())
    if not np.isfinite(target[likeliest]):
        raise NonFiniteError(
            "A target law must be finite: the verifier's logits hold NaN or +inf, or are all -inf."
        )
    return _Position(
        agrees=scores.token_at(int(scores.logits.argmax())) == likeliest,
        overlap=float(np.minimum(target[ids], softmax(scores).probs).sum()),
        entropy_nats=_measure(scores).entropy_nats,
        covered=bool(np.isin(likeliest, ids)),
    )


_measure = facts_measure("shannon", order=2.0, k=1)


def _to_numpy(array: Array) -> np.ndarray:
    """Copy an array of any library: the engine may overwrite its own."""
    return np.array(array_api_compat.to_device(array, "cpu"))
