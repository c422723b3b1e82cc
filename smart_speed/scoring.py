"""What the verifier makes of a text, whoever wrote it: one teacher-forced pass, after the fact."""

from collections.abc import Sequence

import array_api_compat
import numpy as np

from smart_speed.engines.base import CachedModel, shared_len
from smart_speed.entropy import shannon_entropy
from smart_speed.errors import ContextLengthError, NonFiniteError, check_that
from smart_speed.laws import wide
from smart_speed.records import TextScore

_MOST_ROWS = 64
"""Rows of logits asked for at once; those of a whole answer would take much memory."""


def score_text(model: CachedModel, prompt: Sequence[int], output: Sequence[int]) -> TextScore:
    """Return what a model makes of an output, by its raw law (temperature 1) at each position.

    Args:
        model: The verifier; its cache holds another text afterwards.
        prompt: What the output goes on from.
        output: The token that ended it included.

    Raises:
        ConfigError: If the prompt or the output is empty.
        ContextLengthError: If both do not fit the model's context.
        NonFiniteError: If the model's logits are not a law.
    """
    check_that(bool(prompt), "prompt", "at least one token long", len(prompt))
    check_that(bool(output), "output", "at least one token long", len(output))
    text, start = [*prompt, *output], len(prompt) - 1
    if len(text) - 1 > model.context_len:
        raise ContextLengthError(
            f"A prompt and its answer must fit the context of {model.context_len} tokens, got "
            f"{len(text) - 1}."
        )
    model.rollback(min(shared_len(model.cached_tokens, text), start))
    if unread := text[model.cached_len : start]:
        model.feed(unread, last=0)
    log_likelihood = entropy_nats = 0.0
    for at in range(start, len(text) - 1, _MOST_ROWS):
        fed = text[at : min(at + _MOST_ROWS, len(text) - 1)]
        logits = wide(model.feed(fed, last=len(fed)))
        rows = np.asarray(array_api_compat.to_device(logits, "cpu"), dtype=np.float64)
        written = text[at + 1 : at + 1 + len(fed)]
        log_likelihood += float((rows[np.arange(len(fed)), written] - _log_sums(rows)).sum())
        entropy_nats += float(shannon_entropy(rows).sum())
    return TextScore(len(output), log_likelihood, entropy_nats)


def _log_sums(rows: np.ndarray) -> np.ndarray:
    """Return the logarithm of each row's sum of exponentials."""
    most = rows.max(axis=-1)
    if not np.isfinite(most).all():
        raise NonFiniteError(
            "A target law must be finite: the verifier's logits hold NaN or +inf, or are all -inf."
        )
    found: np.ndarray = most + np.log(np.exp(rows - most[:, None]).sum(axis=-1))
    return found
