"""Next-token laws, and the chance that draws from them.

A law lives over a *support*: every token of the vocabulary, or only those that a drafter can
name (an n-gram table, a trimmed vocabulary, the one token that temperature 0 leaves). So one
verification code serves them all, and a small support costs what it holds.

Arrays stay where the engine made them. The code is written on the Python array API; only the
scalars that a decision needs cross to Python.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, final, runtime_checkable

import array_api_compat
import array_api_compat.numpy  # now, rather than inside the first round that is timed
import numpy as np
from jaxtyping import Float, Int

Array = Any
"""A NumPy array, or a tensor of any library that ``array_api_compat`` knows."""


_BLOCK_LEN = 256


def wide(x: Array) -> Array:
    """Return ``x`` in float32, or as it is in float64: half precision sums too coarsely."""
    xp = array_api_compat.array_namespace(x)
    return x if x.dtype in (xp.float32, xp.float64) else xp.astype(x, xp.float32)


@final
@dataclass(frozen=True, slots=True)
class Scores:
    """What a model says of the next token: unnormalised log-probabilities over its support."""

    logits: Float[Array, " support"]
    ids: Int[Array, " support"] | None = None
    """Ascending token ids of the entries; ``None`` where entry i is token i."""

    def token_at(self, index: int) -> int:
        """Return the token of an entry."""
        return index if self.ids is None else int(self.ids[index])

    def keep(self, indices: Int[Array, " kept"]) -> "Scores":
        """Narrow the support to some entries, given in ascending order."""
        return Scores(self.logits[indices], indices if self.ids is None else self.ids[indices])


@final
@dataclass(frozen=True, slots=True)
class Law:
    """A next-token distribution over a support."""

    probs: Float[Array, " support"]
    """Sums to 1."""
    ids: Int[Array, " support"] | None = None
    """Ascending token ids of the entries; ``None`` where entry i is token i."""

    @classmethod
    def point(cls, token: int) -> "Law":
        """Return the law that leaves one token."""
        return cls(np.ones(1), np.array([token]))

    def prob_of(self, token: int) -> float:
        """Return the probability of a token, 0 outside the support."""
        if self.ids is None:
            return float(self.probs[token]) if token < self.probs.shape[0] else 0.0
        if self.ids.shape[0] == 1:
            return float(self.probs[0]) if int(self.ids[0]) == token else 0.0
        xp = array_api_compat.array_namespace(self.ids)
        wanted = xp.full(
            (1,), token, dtype=self.ids.dtype, device=array_api_compat.device(self.ids)
        )
        index = int(xp.searchsorted(self.ids, wanted)[0])
        inside = index < self.ids.shape[0] and int(self.ids[index]) == token
        return float(self.probs[index]) if inside else 0.0

    @property
    def top_prob(self) -> float:
        """Probability of the likeliest token."""
        return float(array_api_compat.array_namespace(self.probs).max(self.probs))

    def _aligned(self, other: "Law") -> Array:
        """Return ``other``'s probabilities of this law's entries."""
        xp = array_api_compat.array_namespace(self.probs)
        device = array_api_compat.device(self.probs)
        theirs = xp.asarray(other.probs, dtype=self.probs.dtype, device=device)
        if self.ids is None and other.ids is None and theirs.shape == self.probs.shape:
            return theirs
        if self.ids is None and other.ids is not None:
            return self._spread(theirs, xp.asarray(other.ids, device=device))
        mine = xp.arange(self.probs.shape[0], device=device) if self.ids is None else self.ids
        ids = xp.arange(theirs.shape[0]) if other.ids is None else other.ids
        ids = xp.asarray(ids, dtype=mine.dtype, device=device)
        at = xp.clip(xp.searchsorted(ids, mine), 0, ids.shape[0] - 1)
        return xp.where(ids[at] == mine, theirs[at], xp.zeros_like(theirs[at]))

    def _spread(self, theirs: Array, ids: Array) -> Array:
        """Put the entries of a support in their places among all: cheaper than to look each up."""
        spread = array_api_compat.array_namespace(self.probs).zeros_like(self.probs)
        inside = ids < self.probs.shape[0]
        spread[ids[inside]] = theirs[inside]
        return spread

    def residual(self, draft: "Law", scale: float = 1.0) -> "Law":
        """Return the normalised positive part of ``scale * self - draft``.

        With scale 1, the law that a corrected token is drawn from (Leviathan et al. 2023,
        algorithm 1). Where the difference has no positive part, which only rounding can bring
        about, this law itself.
        """
        xp = array_api_compat.array_namespace(self.probs)
        rest = xp.clip(self.probs * scale - self._aligned(draft), 0)
        total = xp.sum(rest)
        return Law(rest / total, self.ids) if float(total) > 0 else self

    def excess_over(self, draft: "Law", scale: float = 1.0) -> float:
        """Return the mass of the positive part of ``scale * self - draft``."""
        xp = array_api_compat.array_namespace(self.probs)
        return float(xp.sum(xp.clip(self.probs * scale - self._aligned(draft), 0)))


@np.errstate(invalid="ignore")
def softmax(scores: Scores) -> Law:
    """Normalise scores into a law, in float32 or better; all NaN where they are none."""
    logits = wide(scores.logits)
    xp = array_api_compat.array_namespace(logits)
    weights = xp.exp(logits - xp.max(logits))
    return Law(weights / xp.sum(weights), scores.ids)


class Glance(NamedTuple):
    """What a verification rule may want to know of a raw draft law."""

    entropy_nats: float
    """Shannon's."""
    top_tokens: frozenset[int]
    """The likeliest, as many as the rule reads; all where there are no more."""


@final
@dataclass(frozen=True, slots=True)
class Proposal:
    """A draft: tokens, and the law that each was drawn from.

    A chain for now. A token tree adds one field, the parent of each token, and nothing else.
    """

    tokens: Sequence[int]
    laws: Sequence[Law]
    glances: Sequence[Glance] = ()
    """One for each token where the rule reads them, else none."""


@runtime_checkable
class Chance(Protocol):
    """Where randomness comes from; an argument, so that tests can enumerate it."""

    def flip(self, probability: float) -> bool:
        """Return true with the given probability."""
        ...

    def draw(self, law: Law) -> int:
        """Return a token drawn from the law."""
        ...


@final
class SeededChance:
    """Chance from one NumPy generator per sequence."""

    def __init__(self, *entropy: int) -> None:
        """Seed the generator.

        Args:
            entropy: Non-negative integers, for example the run's seed and the prompt's number.
        """
        self._generator = np.random.default_rng(entropy)

    def flip(self, probability: float) -> bool:
        return probability >= 1 or bool(self._generator.random() < probability)

    def draw(self, law: Law) -> int:
        """Return a token by inverting the cumulated law at one uniform number.

        First of blocks, then within one: to cumulate a whole vocabulary takes longer than all
        else of a draw.
        """
        if law.probs.shape[0] == 1:
            return Scores(law.probs, law.ids).token_at(0)
        xp = array_api_compat.array_namespace(law.probs)
        size = law.probs.shape[0]
        whole = size - size % _BLOCK_LEN
        blocks = xp.sum(xp.reshape(law.probs[:whole], (size // _BLOCK_LEN, _BLOCK_LEN)), axis=1)
        if whole < size:
            blocks = xp.concat([blocks, xp.sum(law.probs[whole:], keepdims=True)])
        block, share = _inverted(blocks, self._generator.random())
        start = block * _BLOCK_LEN
        index, _ = _inverted(law.probs[start : start + _BLOCK_LEN], share)
        return Scores(law.probs, law.ids).token_at(start + index)


def _inverted(weights: Float[Array, " entries"], share: float) -> tuple[int, float]:
    """Return in which entry a share of the sum of all lies, and at which share of that entry.

    The sum is what the rounded weights really come to. A share that is rounded up to all of it
    lies in the last entry that weighs anything.
    """
    xp = array_api_compat.array_namespace(weights)
    ends = xp.cumulative_sum(weights, dtype=xp.float64)
    target = share * ends[-1]
    index = int(xp.searchsorted(ends, target, side="right"))
    if index == weights.shape[0]:
        index = int(xp.searchsorted(ends, ends[-1], side="left"))
    start = float(ends[index - 1]) if index else 0.0
    width = float(ends[index]) - start
    return index, (float(target) - start) / width if width > 0 else 0.0
