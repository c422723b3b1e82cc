"""A model and the text's own n-grams, as one law.

The two know different things. A model that is small enough to draft has never seen the names,
numbers and turns of phrase of this prompt; n-grams know nothing else. Blending costs a few lookups
beside a model's pass. And where both expect the same token the blend's entropy is low, where they
do not it is high, so every stopping rule that reads entropy hears of their agreement for free.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import array_api_compat
import numpy as np
from jaxtyping import Float64, Int64

from smart_speed.drafters.base import Drafter, scores_along
from smart_speed.drafters.ngram_counts import Followers, NgramCounts
from smart_speed.laws import Array, Scores, wide


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BlendWeights:
    """How much of the law is the n-grams': sigmoid(bias + per_token * order + per_prob * top).

    Order is the length of the longest context seen before, top the probability that n-grams give
    their likeliest token. The defaults serve both shipped drafters; weights around them are worse,
    and not by much (``python -m benchmarks.blend_weights``, experiments/LOG.md).
    """

    bias: float = -3.9
    per_token: float = 0.65
    per_prob: float = 2.2

    def weight(self, order: int, top_prob: float) -> float:
        """Return the n-grams' part, between 0 and 1."""
        return 1 / (1 + math.exp(-(self.bias + self.per_token * order + self.per_prob * top_prob)))


@final
class BlendDrafter:
    """Drafts from (1 - w) times a drafter's law plus w times that of the text's n-grams.

    Where no context of at least one token was seen before, it is the drafter's law alone. Tokens
    of the text that the drafter cannot name, for want of vocabulary, can be drafted here.
    """

    def __init__(
        self, drafter: Drafter, weights: BlendWeights | None = None, *, max_order: int = 6
    ) -> None:
        """Blend.

        Args:
            drafter: The one that is blended with n-grams; this object's to use.
            weights: How much n-grams count.
            max_order: Longest context, in tokens; at least 1.
        """
        self._drafter = drafter
        self._weights = weights or BlendWeights()
        self._counts = NgramCounts(max_order)
        self.name = f"{drafter.name}+ngram"

    @property
    def inner(self) -> Drafter:
        """The drafter that is blended with n-grams."""
        return self._drafter

    @property
    def context_len(self) -> int | None:
        return self._drafter.context_len

    def prefill(self, text: Sequence[int]) -> None:
        self._drafter.prefill(text)
        self._counts.read_text(text)

    def scores_after(self, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        return self._with_counts(self._drafter.scores_after(text, proposal), text, proposal)

    def scores_along(self, text: Sequence[int], proposal: Sequence[int]) -> list[Scores]:
        along = scores_along(self._drafter, text, proposal)
        return [self._with_counts(scores, text, proposal[:end]) for end, scores in enumerate(along)]

    def _with_counts(self, scores: Scores, text: Sequence[int], proposal: Sequence[int]) -> Scores:
        self._counts.read(text, proposal)
        said = self._counts.followers()
        return self._blended(scores, said) if said.order else scores

    def rollback(self, to_len: int) -> None:
        self._drafter.rollback(to_len)
        self._counts.rollback(to_len)

    @np.errstate(invalid="ignore")
    def _blended(self, scores: Scores, said: Followers) -> Scores:
        """Raise the scores of the tokens that n-grams name; the law is the same up to its scale."""
        tokens = np.array(sorted(said.probs), dtype=np.int64)
        probs = np.array([said.probs[token] for token in tokens.tolist()]) / (1 - said.left)
        weight = self._weights.weight(said.order, float(probs.max()))
        logits = wide(scores.logits)
        xp = array_api_compat.array_namespace(logits)
        top = float(xp.max(logits))
        total = float(xp.sum(xp.exp(logits - top)))
        raised = probs * (weight / (1 - weight) * total)
        return _raised(Scores(logits, scores.ids), tokens, raised, top)


def _raised(
    scores: Scores,
    tokens: Int64[np.ndarray, " named"],
    weights: Float64[np.ndarray, " named"],
    top: float,
) -> Scores:
    """Add weights to tokens, where a token of score ``top`` weighs 1; widen the support to them."""
    logits, ids = scores.logits, scores.ids
    xp, device = array_api_compat.array_namespace(logits), array_api_compat.device(logits)
    width = logits.shape[0]
    if ids is None:
        known = tokens < width
        tokens, weights = tokens[known], weights[known]
        places, known = tokens, known[known]
    else:
        wanted = xp.asarray(tokens, dtype=ids.dtype, device=device)
        places = _to_numpy(xp.searchsorted(ids, wanted))
        known = np.minimum(places, width - 1) == places
        known[known] = _to_numpy(ids[xp.asarray(places[known], device=device)]) == tokens[known]
    at = xp.asarray(places[known], device=device)
    mine = xp.asarray(weights[known], dtype=logits.dtype, device=device)
    logits = xp.asarray(logits, copy=True)  # the engine's own array is not ours to change
    logits[at] = top + xp.log(xp.exp(logits[at] - top) + mine)
    if ids is None or known.all():
        return Scores(logits, ids)
    extra = xp.asarray(top + np.log(weights[~known]), dtype=logits.dtype, device=device)
    strangers = xp.asarray(tokens[~known], dtype=ids.dtype, device=device)
    cuts = places[~known].tolist()
    return Scores(_spliced(logits, extra, cuts), _spliced(ids, strangers, cuts))


def _spliced(array: Array, extra: Array, cuts: Sequence[int]) -> Array:
    """Put entry i of ``extra`` before entry ``cuts[i]`` of an array; cuts ascend."""
    xp = array_api_compat.array_namespace(array)
    parts, start = [], 0
    for number, cut in enumerate(cuts):
        parts += [array[start:cut], extra[number : number + 1]]
        start = cut
    return xp.concat([*parts, array[start:]])


def _to_numpy(array: Array) -> np.ndarray:
    return np.asarray(array_api_compat.to_device(array, "cpu"))
