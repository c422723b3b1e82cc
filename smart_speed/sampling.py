"""How scores become the law that is drawn from; the same for drafter and verifier."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import array_api_compat
import numpy as np

from smart_speed.entropy import largest
from smart_speed.errors import NonFiniteError, check_that
from smart_speed.laws import Array, Law, Scores, softmax, wide


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Settings of the output law, and of where the output ends.

    Applied in the order of the fields: repetition penalty, temperature, top-k, top-p, min-p.
    """

    repetition_penalty: float = 1.0
    """Divides the positive logits of tokens already in the text and multiplies the negative ones
    (Keskar et al. 2019, arXiv 1909.05858); 1 changes nothing."""
    temperature: float = 0.0
    """Divides the logits; 0 leaves the likeliest token alone, the lowest id among equals."""
    top_k: int | None = None
    """Keep the k likeliest tokens, and all that equal the last of them; ``None`` keeps all."""
    top_p: float | None = None
    """Keep the fewest likeliest tokens that together reach this probability (Holtzman et al.
    2019, arXiv 1904.09751); ``None`` keeps all."""
    min_p: float | None = None
    """Keep tokens with at least this share of the top probability (Nguyen et al. 2024, arXiv
    2407.01082); ``None`` keeps all."""
    seed: int = 0
    """Seeds the one generator of each sequence."""
    stop_strings: tuple[str, ...] = ()
    """The output ends before the first of these; the text does not hold it."""
    stop_tokens: tuple[int, ...] = ()
    """Token ids that end the output besides the model's own end-of-text tokens."""
    ignore_eos: bool = False
    """Go on past the model's own end-of-text tokens, for measurements of a fixed length."""

    def __post_init__(self) -> None:
        positive = 0 < self.repetition_penalty < math.inf
        check_that(positive, "repetition_penalty", "a positive ratio", self.repetition_penalty)
        warm = 0 <= self.temperature < math.inf
        check_that(warm, "temperature", "a finite number of at least 0", self.temperature)
        check_that(self.top_k is None or self.top_k >= 1, "top_k", "at least 1", self.top_k)
        for name in ("top_p", "min_p"):
            share = getattr(self, name)
            inside = share is None or 0 < share <= 1
            check_that(inside, name, "above 0 and at most 1", share)
            cold = self.temperature == 0 and share is not None
            check_that(not cold, name, "left out at temperature 0, which never reads it", share)
        cold = self.temperature == 0 and self.top_k is not None
        check_that(not cold, "top_k", "left out at temperature 0, which never reads it", self.top_k)
        check_that(self.seed >= 0, "seed", "at least 0", self.seed)
        whole = all(self.stop_strings)
        check_that(whole, "stop_strings", "texts of at least one character", self.stop_strings)

    @property
    def greedy(self) -> bool:
        """Whether every law is one token."""
        return self.temperature == 0

    def shape(self, scores: Scores, context: Iterable[int]) -> Scores:
        """Apply every processor but the normalisation.

        Args:
            scores: A model's raw scores of the next token.
            context: All tokens before it, the prompt included; the repetition penalty reads them.

        Returns:
            Scores over the tokens that may be drawn.
        """
        scores = self._penalised(scores, context)
        if self.greedy:
            return _likeliest(scores)
        scores = _tempered(scores, self.temperature)
        if self.top_k is not None and self.top_k < scores.logits.shape[0]:
            threshold = float(_minimum(largest(scores.logits, self.top_k)))
            scores = _where(scores, scores.logits >= threshold)
        if self.top_p is not None and self.top_p < 1:
            scores = _nucleus(scores, self.top_p)
        if self.min_p is not None:
            xp = array_api_compat.array_namespace(scores.logits)
            threshold = xp.max(scores.logits) + math.log(self.min_p)
            scores = _where(scores, scores.logits >= threshold)
        return scores

    def _penalised(self, scores: Scores, context: Iterable[int]) -> Scores:
        if self.repetition_penalty == 1:
            return scores
        return _penalised(scores, context, self.repetition_penalty)

    def law(self, scores: Scores, context: Iterable[int]) -> Law:
        """Return the law that the next token is drawn from; arguments as for ``shape``.

        Raises:
            NonFiniteError: If the scores hold NaN or +inf, or are all -inf.
        """
        if self.greedy:
            scores = self._penalised(scores, context)
            index = int(scores.logits.argmax())
            top = float(scores.logits[index])  # NaN counts as largest
            law = Law.point(scores.token_at(index))
        else:
            law = softmax(self.shape(scores, context))
            top = float(law.probs[0])  # where one token's is NaN, all are
        if not math.isfinite(top):
            raise NonFiniteError(
                "A model's law must be finite, got logits that hold NaN or +inf, or are all -inf."
            )
        return law

    def graded(self, scores: Scores, context: Iterable[int]) -> Law:
        """Return the law that tells good tokens from bad ones; arguments as for ``shape``.

        That of ``law``, except at temperature 0, where that is one token: there the law of
        temperature 1.
        """
        if self.greedy:
            return softmax(self._penalised(scores, context))
        return self.law(scores, context)


@np.errstate(invalid="ignore", over="ignore")
def _tempered(scores: Scores, temperature: float) -> Scores:
    """Divide the logits, the largest shifted to 0 so that no temperature overflows."""
    logits = wide(scores.logits)
    top = array_api_compat.array_namespace(logits).max(logits)
    return Scores((logits - top) / temperature, scores.ids)


def _minimum(values: Array) -> Array:
    return array_api_compat.array_namespace(values).min(values)


def _where(scores: Scores, kept: Array) -> Scores:
    xp = array_api_compat.array_namespace(kept)
    return _keep(scores, xp.nonzero(kept)[0])


def _keep(scores: Scores, indices: Array) -> Scores:
    """Narrow the support; NaN, which compares with nothing, is left for ``law`` to refuse."""
    return scores.keep(indices) if indices.shape[0] else scores


def _likeliest(scores: Scores) -> Scores:
    xp = array_api_compat.array_namespace(scores.logits)
    index = int(xp.argmax(scores.logits))
    return scores.keep(xp.asarray([index], device=array_api_compat.device(scores.logits)))


def _penalised(scores: Scores, context: Iterable[int], penalty: float) -> Scores:
    xp = array_api_compat.array_namespace(scores.logits)
    device = array_api_compat.device(scores.logits)
    seen = np.unique(np.fromiter(context, dtype=np.int64))
    if scores.ids is None:
        at = seen[seen < scores.logits.shape[0]]
    else:
        at = np.flatnonzero(np.isin(array_api_compat.to_device(scores.ids, "cpu"), seen))
    at = xp.asarray(at, device=device)
    logits = xp.asarray(wide(scores.logits), copy=True)
    hit = logits[at]
    logits[at] = xp.where(hit > 0, hit / penalty, hit * penalty)
    return Scores(logits, scores.ids)


def _nucleus(scores: Scores, top_p: float) -> Scores:
    """Keep the likeliest tokens whose probabilities first reach ``top_p``.

    Tokens below (1 - top_p) / size together hold less than 1 - top_p, so none of them can be in
    the nucleus: only the others, usually a few hundred, need to be sorted.
    """
    probs = softmax(scores).probs
    xp = array_api_compat.array_namespace(probs)
    candidates = xp.nonzero(probs >= (1 - top_p) / probs.shape[0])[0]
    order = xp.argsort(probs[candidates], descending=True, stable=True)
    ranked = probs[candidates][order]
    before = xp.cumulative_sum(ranked) - ranked
    return _keep(scores, xp.sort(candidates[order[before < top_p]]))
