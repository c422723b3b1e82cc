"""Vocabularies: which a corpus was made with, and a trimmed one for a small drafter."""

from collections.abc import Collection, Iterable

import numpy as np
from jaxtyping import Float

from smart_speed.errors import check_that
from smart_speed.training.corpus import Example


def token_weights(examples: Iterable[Example], vocab_size: int) -> Float[np.ndarray, " vocab"]:
    """Return how often a verifier writes each token, as its laws say.

    The laws' probabilities are added up, not only the tokens that were chosen: rare tokens are
    told apart sooner.

    Args:
        examples: Of a corpus.
        vocab_size: Of the verifier.
    """
    weights = np.zeros(vocab_size)
    for example in examples:
        probs = np.exp(example.top_logprobs.astype(np.float64))
        weights += np.bincount(example.top_ids.ravel(), probs.ravel(), minlength=vocab_size)
    return weights


def most_frequent(
    weights: Float[np.ndarray, " vocab"], size: int, always: Collection[int] = ()
) -> list[int]:
    """Return the tokens that a drafter's vocabulary keeps, ascending.

    Args:
        weights: How often the verifier writes each of its tokens.
        size: Rows of the drafter's embedding; one is for all other tokens.
        always: Tokens kept whatever their count, such as those that end a text.

    Raises:
        ConfigError: If the verifier has no more tokens than that, or ``always`` is longer.
    """
    rule = f"{len(always) + 1} to {len(weights)}, the verifier's own"
    check_that(len(always) < size <= len(weights), "vocab_size", rule, size)
    weights = weights.copy()
    weights[list(always)] = np.inf
    # Among equals the first, which a tokenizer learned earlier from more text.
    return sorted(np.argsort(-weights, kind="stable")[: size - 1].tolist())
