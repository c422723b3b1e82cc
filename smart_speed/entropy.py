"""How uncertain is a law? Entropies in nats, and the other facts a strategy may read.

Written once on the array API, in float32 or better, straight from logits: normalising first
would cost another pass over the vocabulary.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import array_api_compat
import numpy as np
from jaxtyping import Float

from smart_speed.errors import NonFiniteError, check_that
from smart_speed.laws import Array, Glance, Law, Scores, wide

EntropyType = Literal["shannon", "renyi", "topk"]

_NO_CHANCE = -1e4
"""Stands in for -inf: exp of it is exactly 0, and 0 times it is 0 rather than NaN."""


@final
@dataclass(frozen=True, slots=True)
class LawFacts:
    """What a stopping strategy may know about one draft law."""

    entropy_nats: float
    top_prob: float
    """Probability of the likeliest token."""


@np.errstate(invalid="ignore")
def _centred(logits: Float[Array, "*batch vocab"]) -> Float[Array, "*batch vocab"]:
    """Shift logits so that the largest is 0; NaN stays NaN."""
    logits = wide(logits)
    xp = array_api_compat.array_namespace(logits)
    shifted = logits - xp.max(logits, axis=-1, keepdims=True)
    return xp.clip(shifted, min=_NO_CHANCE)


def shannon_entropy(logits: Float[Array, "*batch vocab"]) -> Float[Array, "*batch"]:
    """Measure uncertainty with Shannon's entropy, in nats.

    H = -sum(p * log(p)), with p the softmax of the logits over the last axis.

    Args:
        logits: Unnormalised; -inf where a token is impossible.

    Returns:
        One value per law, between 0 and log(vocab); NaN where the logits hold NaN or +inf or
        nothing but -inf.

    Source: Shannon 1948, "A Mathematical Theory of Communication", section 6.
    """
    shifted = _centred(logits)
    xp = array_api_compat.array_namespace(shifted)
    weights = xp.exp(shifted)
    total = xp.sum(weights, axis=-1)
    return xp.log(total) - xp.vecdot(weights, shifted, axis=-1) / total


def renyi_entropy(logits: Float[Array, "*batch vocab"], *, order: float) -> Float[Array, "*batch"]:
    """Measure uncertainty with Rényi's entropy, in nats.

    H = log(sum(p ** order)) / (1 - order). The limit at order 1 is Shannon's; ask
    ``shannon_entropy`` for it. Larger orders listen to the likely tokens only.

    Args:
        logits: Unnormalised; -inf where a token is impossible.
        order: Positive and not 1.

    Returns:
        One value per law, between 0 and log(vocab).

    Raises:
        ConfigError: If ``order`` is not positive, or is 1.

    Source: Rényi 1961, "On Measures of Entropy and Information".
    """
    check_that(order > 0 and order != 1, "renyi_order", "positive and not 1", order)
    shifted = _centred(logits)
    xp = array_api_compat.array_namespace(shifted)
    log_total = xp.log(xp.sum(xp.exp(shifted), axis=-1))
    # The stand-in for -inf may come to something when it is multiplied by a small order.
    powers = xp.where(shifted > _NO_CHANCE, xp.exp(shifted * order), xp.zeros_like(shifted))
    powers = xp.where(xp.isnan(shifted), shifted, powers)
    log_powers = xp.log(xp.sum(powers, axis=-1))
    return (log_powers - order * log_total) / (1 - order)


def topk_entropy(logits: Float[Array, "*batch vocab"], *, k: int) -> Float[Array, "*batch"]:
    """Measure the Shannon entropy of the k likeliest tokens, renormalised, in nats.

    Not their part of the full sum: the law is first cut to those k tokens.

    Args:
        logits: Unnormalised; -inf where a token is impossible.
        k: At least 1; more than the vocabulary means all of it.

    Returns:
        One value per law, between 0 and log(k).

    Raises:
        ConfigError: If ``k`` is below 1.
    """
    check_that(k >= 1, "entropy_top_k", "at least 1", k)
    return shannon_entropy(largest(logits, min(k, logits.shape[-1])))


def largest(values: Float[Array, "*batch vocab"], k: int) -> Float[Array, "*batch k"]:
    """Return the k largest values of the last axis, in no particular order.

    NaN counts as largest, so that it is not lost. The array API has no partial sort.
    """
    if array_api_compat.is_numpy_array(values):
        return np.partition(values, values.shape[-1] - k, axis=-1)[..., -k:]
    if array_api_compat.is_torch_array(values):
        return values.topk(k, dim=-1).values
    xp = array_api_compat.array_namespace(values)
    return xp.sort(values, axis=-1)[..., -k:]


@np.errstate(invalid="ignore")
def shannon_facts(scores: Scores) -> LawFacts:
    """Measure Shannon entropy and top probability in one pass: the likeliest weight is 1."""
    logits = wide(scores.logits)
    xp = array_api_compat.array_namespace(logits)
    shifted = logits - xp.max(logits)
    weights = xp.exp(shifted)
    total = float(xp.sum(weights))
    mean = float(xp.vecdot(weights, shifted)) / total
    if math.isnan(mean):  # 0 times -inf, if not worse; clipping is a pass that few laws need
        mean = float(xp.vecdot(weights, xp.clip(shifted, min=_NO_CHANCE))) / total
    return LawFacts(_checked(math.log(total) - mean), 1 / total)


def raw_entropy(scores: Scores) -> float:
    """Return the Shannon entropy of raw scores, in nats.

    Raises:
        NonFiniteError: If they are not a law.
    """
    return shannon_facts(scores).entropy_nats


def law_entropy(law: Law) -> float:
    """Return the Shannon entropy of a law, in nats."""
    probs = wide(law.probs)
    xp = array_api_compat.array_namespace(probs)
    logs = xp.log(xp.where(probs > 0, probs, xp.ones_like(probs)))
    return max(-float(xp.vecdot(probs, logs)), 0.0)


def top_tokens(scores: Scores, number: int) -> frozenset[int]:
    """Return the likeliest tokens, all where there are no more; ties are broken in any way."""
    logits = wide(scores.logits)
    kept = min(number, logits.shape[0])
    xp = array_api_compat.array_namespace(logits)
    threshold = xp.min(largest(logits, kept))
    above, level = xp.nonzero(logits > threshold)[0], xp.nonzero(logits == threshold)[0]
    indices = [*above.tolist(), *level.tolist()][:kept]
    return frozenset(scores.token_at(index) for index in indices)


def glance_at(scores: Scores, number: int) -> Glance:
    """Return what a rule reads of a raw draft law, with so many of its likeliest tokens."""
    return Glance(raw_entropy(scores), top_tokens(scores, number))


def _checked(entropy_nats: float) -> float:
    if not math.isfinite(entropy_nats):
        raise NonFiniteError(
            f"A draft law must have a finite entropy, got {entropy_nats}: "
            "the drafter's logits hold NaN or +inf, or are all -inf."
        )
    return max(entropy_nats, 0.0)


def facts_measure(kind: EntropyType, *, order: float, k: int) -> Callable[[Scores], LawFacts]:
    """Return the function that measures one draft law.

    Args:
        kind: Which entropy.
        order: Of Rényi's entropy.
        k: Tokens kept by the top-k entropy.

    Returns:
        A function from scores to facts; it raises ``NonFiniteError`` for a law that is none.
    """
    if kind == "shannon":
        return shannon_facts

    def measure(scores: Scores) -> LawFacts:
        logits = scores.logits
        by_kind = (
            renyi_entropy(logits, order=order) if kind == "renyi" else topk_entropy(logits, k=k)
        )
        return LawFacts(_checked(float(by_kind)), shannon_facts(scores).top_prob)

    return measure
